"""F and intersection over union of counted pixels."""

import numpy as np
from numpy.typing import NDArray

F_BETA2 = 0.3
"""beta squared of every F here: precision weighs more than recall, as in the salient-object literature."""


def f_beta(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    """F of precision and recall in [0,1], of any one shape; 0 where both are."""
    weighted = F_BETA2 * precision + recall
    return (1 + F_BETA2) * precision * recall / np.where(weighted > 0, weighted, 1.0)


def f_pooled(hits: int, predicted: int, actual: int) -> float:
    """F of a class by how many pixels were found rightly, were found, and are of it; 0 where none was found rightly."""
    return (1 + F_BETA2) * hits / (predicted + F_BETA2 * actual) if hits else 0.0


def f_of_class(hits: int, predicted: int, actual: int) -> float:
    """Like `f_pooled`, but 1 for a class that is absent from both truth and prediction."""
    return 1.0 if predicted == actual == 0 else f_pooled(hits, predicted, actual)


def iou_of_class(hits: int, predicted: int, actual: int) -> float:
    """Intersection over union of a class by the same counts; 1 where it is absent from both."""
    union = predicted + actual - hits
    return 1.0 if union == 0 else hits / union
