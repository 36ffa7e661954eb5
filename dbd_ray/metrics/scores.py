"""F-measure and intersection over union of counted pixels."""

import numpy as np
from numpy.typing import NDArray

F_BETA2 = 0.3
"""Beta squared of every F here: precision weighs more than recall, as in the salient-object literature."""


def f_beta(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute F, weighted by `F_BETA2`.

    Args:
        precision: float64 in [0,1], any shape.
        recall: float64 in [0,1], the same shape.

    Returns:
        float64 in [0,1], the same shape; 0 where both are 0.
    """
    weighted = F_BETA2 * precision + recall
    return (1 + F_BETA2) * precision * recall / np.where(weighted > 0, weighted, 1.0)


def f_pooled(hits: int, predicted: int, actual: int) -> float:
    """Compute F of one class of pixels, weighted by `F_BETA2`.

    Args:
        hits: Pixels that are of the class and predicted as such.
        predicted: Pixels predicted as such.
        actual: Pixels of the class.

    Returns:
        F in [0,1]; 0 without hits.
    """
    return (1 + F_BETA2) * hits / (predicted + F_BETA2 * actual) if hits else 0.0


def f_of_class(hits: int, predicted: int, actual: int) -> float:
    """Like `f_pooled`, but 1 for a class that is absent from both truth and prediction."""
    return 1.0 if predicted == actual == 0 else f_pooled(hits, predicted, actual)


def iou_of_class(hits: int, predicted: int, actual: int) -> float:
    """Compute intersection over union of a class from the same counts; 1 where it is absent from both."""
    union = predicted + actual - hits
    return 1.0 if union == 0 else hits / union
