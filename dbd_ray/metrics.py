"""Every metric of defocus blur detection by one name each, streaming and mergeable.

Published F values are not comparable: the same maps on the same photos score between .57 and .82 depending on
the definition. `METRIC_DEFINITIONS` is the single place that says what each of our names means.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dbd_ray.kinds import kind_of

F_BETA2 = 0.3
"""beta squared of every F here: precision weighs more than recall, as in the salient-object literature."""

METRIC_DEFINITIONS: Mapping[str, str] = {
    "mae": "Mean absolute difference of map and truth per photo, at the truth's size; mean over photos.",
    "f_adaptive_pooled_dd_notebook": (
        "F as in depth distillation's released notebook: 8-bit map above min(1.5 × its mean, 255), the truth "
        "thresholded the same way (so it vanishes where 2/3 or more is in focus), pixels of all photos pooled."
    ),
    "f_adaptive_pooled": "F with the map above min(1.5 × its mean, 255) against the true truth, all pixels pooled.",
    "f_adaptive_per_image": "F with the map above min(1.5 × its mean, 255), per photo; mean over photos.",
    "f_adaptive_of_mean_pr": (
        "F of the mean precision and the mean recall over photos, each map above min(1.5 × its mean, 255)."
    ),
    "f_max_of_mean_curve": (
        "Best F on the mean precision-recall curve: precision and recall at every threshold 0…255 (map at or above "
        "it), mean over photos, precision 0 where nothing is predicted."
    ),
    "f_at_half_focus": "F of the in-focus class at threshold 0.5, per photo; mean over photos.",
    "f_at_half_blur": "F of the blurred class at threshold 0.5, per photo; mean over photos.",
    "iou_at_half_focus": "Intersection over union of the in-focus class at threshold 0.5; mean over photos.",
    "iou_at_half_blur": "Intersection over union of the blurred class at threshold 0.5; mean over photos.",
    "kind_accuracy": (
        "Share of photos whose map at threshold 0.5 is of the truth's kind: all in focus (97 % of the pixels or "
        "more), none (2 % or less), or a part."
    ),
}
METRIC_NAMES: tuple[str, ...] = tuple(METRIC_DEFINITIONS)

PER_PHOTO_METRICS: tuple[str, ...] = (
    "mae",
    "f_adaptive_per_image",
    "f_at_half_focus",
    "f_at_half_blur",
    "iou_at_half_focus",
    "iou_at_half_blur",
    "kind_accuracy",
)
"""Those that are a mean over photos, so that two models can be compared photo by photo."""
_PIXEL_COUNTS = ("hits", "predicted", "actual", "dd_hits", "dd_actual")
_LEVELS = 256
# Sums are kept in fixed point: integer addition is associative, so that the result is the same to the last bit
# however the photos were shared out. 2^-60 for Python's unbounded integers; 2^-32 for the int64 curve, which then
# holds two thousand million photos.
_SCALAR_UNIT = 2**60
_CURVE_UNIT = 2**32


class PrCurve(NamedTuple):
    """Precision and recall at the thresholds 0…255 (8-bit map at or above it), mean over photos.

    Args:
        precision: float64 [256] in [0,1].
        recall: float64 [256] in [0,1].
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


def lower_is_better(name: str) -> bool:
    """Say whether smaller values of a metric are better.

    Args:
        name: One of `METRIC_NAMES`.

    Returns:
        True for `mae`, False for every F and IoU.

    Raises:
        ValueError: The name is not a metric.
    """
    if name not in METRIC_DEFINITIONS:
        raise ValueError(f"unknown metric {name!r}: choose one of {', '.join(METRIC_NAMES)}")
    return name == "mae"


class FocusMetrics:
    """All metrics of `METRIC_DEFINITIONS` over any number of photos, in constant memory.

    A photo is reduced to two 256-bin histograms (of the map's 8-bit values, in focus and out of focus), from which
    every thresholded metric follows. A class absent from both truth and prediction scores 1 where a metric is
    taken per photo; a photo without any in-focus pixel has precision 0 and recall 0.
    """

    def __init__(self) -> None:
        self._images = 0
        self._sums: dict[str, int] = dict.fromkeys((*PER_PHOTO_METRICS, "precision", "recall"), 0)
        self._pixels: dict[str, int] = dict.fromkeys(_PIXEL_COUNTS, 0)
        self._curve_sums = np.zeros((2, _LEVELS), np.int64)

    @property
    def images(self) -> int:
        """Number of photos seen so far."""
        return self._images

    def update(self, focus: NDArray[Any], truth: NDArray[Any]) -> dict[str, float]:
        """Add one photo.

        Args:
            focus: Predicted focus map, float H×W in [0,1] or uint8 H×W (255 = in focus). Floats are rounded to
                8 bits for the thresholded metrics and used as they are for `mae`.
            truth: Mask of the same size, bool or uint8 H×W, in focus where True or above 127.

        Returns:
            This photo's `mae`, `f_adaptive_per_image`, `f_at_half_*`, `iou_at_half_*`, `kind_accuracy`, and the shares
            of pixels in focus `in_focus_fraction_truth` and `in_focus_fraction_map` (at threshold 0.5), all in [0,1].

        Raises:
            ValueError: The sizes differ, a type is not one of these, or the map has NaN or values outside [0,1].
        """
        in_focus = _checked_truth(focus, truth)
        levels = _quantised(focus)
        histograms = np.bincount(((in_focus.astype(np.uint16) << 8) | levels).ravel(), minlength=2 * _LEVELS).reshape(
            2, _LEVELS
        )
        out_histogram, in_histogram = histograms
        pixels, actual = levels.size, int(in_histogram.sum())
        # counts at or above each level 0..256, so that index 256 is the empty prediction
        hits_from = _counts_from(in_histogram)
        predicted_from = hits_from + _counts_from(out_histogram)

        mean_level = int(np.arange(_LEVELS) @ (in_histogram + out_histogram)) / pixels
        first_above = int(min(1.5 * mean_level, 255.0)) + 1  # strictly above the adaptive threshold
        hits, predicted = int(hits_from[first_above]), int(predicted_from[first_above])
        truth_survives = min(1.5 * (255 * actual / pixels), 255.0) < 255.0  # the notebook's quirk

        half_hits, half_predicted = int(hits_from[128]), int(predicted_from[128])
        blur_hits = pixels - actual - (half_predicted - half_hits)
        blur_predicted, blur_actual = pixels - half_predicted, pixels - actual
        values = {
            "mae": _mean_absolute_error(focus, in_focus, histograms),
            "f_adaptive_per_image": _f_of_class(hits, predicted, actual),
            "f_at_half_focus": _f_of_class(half_hits, half_predicted, actual),
            "f_at_half_blur": _f_of_class(blur_hits, blur_predicted, blur_actual),
            "iou_at_half_focus": _iou_of_class(half_hits, half_predicted, actual),
            "iou_at_half_blur": _iou_of_class(blur_hits, blur_predicted, blur_actual),
            "kind_accuracy": float(kind_of(half_predicted / pixels) == kind_of(actual / pixels)),
        }

        self._images += 1
        for name, value in values.items():
            self._sums[name] += round(value * _SCALAR_UNIT)
        self._sums["precision"] += round(hits / max(predicted, 1) * _SCALAR_UNIT)
        self._sums["recall"] += round(hits / max(actual, 1) * _SCALAR_UNIT)
        self._pixels["hits"] += hits
        self._pixels["predicted"] += predicted
        self._pixels["actual"] += actual
        self._pixels["dd_hits"] += hits if truth_survives else 0
        self._pixels["dd_actual"] += actual if truth_survives else 0
        curve = np.stack((hits_from[:-1] / np.maximum(predicted_from[:-1], 1), hits_from[:-1] / max(actual, 1)))
        self._curve_sums += np.rint(curve * _CURVE_UNIT).astype(np.int64)
        fractions = {"in_focus_fraction_truth": actual / pixels, "in_focus_fraction_map": half_predicted / pixels}
        return values | fractions

    def merge(self, other: "FocusMetrics") -> None:
        """Add the photos that another accumulator saw; exact, whatever the order.

        Args:
            other: Accumulator of different photos; left unchanged.
        """
        self._images += other._images
        for name, total in other._sums.items():
            self._sums[name] += total
        for name, count in other._pixels.items():
            self._pixels[name] += count
        self._curve_sums += other._curve_sums

    def __iadd__(self, other: "FocusMetrics") -> Self:
        self.merge(other)
        return self

    def compute(self) -> dict[str, float]:
        """Give every metric over the photos so far.

        Returns:
            Value in [0,1] by name, in the order of `METRIC_NAMES`.

        Raises:
            ValueError: No photo was added.
        """
        curve = self.curve()
        means = {name: total / _SCALAR_UNIT / self._images for name, total in self._sums.items()}
        pixels = self._pixels
        values = {
            "f_adaptive_pooled_dd_notebook": _f_pooled(pixels["dd_hits"], pixels["predicted"], pixels["dd_actual"]),
            "f_adaptive_pooled": _f_pooled(pixels["hits"], pixels["predicted"], pixels["actual"]),
            "f_adaptive_of_mean_pr": float(_f_beta(np.array(means["precision"]), np.array(means["recall"]))),
            "f_max_of_mean_curve": float(_f_beta(curve.precision, curve.recall).max()),
        } | {name: means[name] for name in PER_PHOTO_METRICS}
        return {name: values[name] for name in METRIC_NAMES}

    def curve(self) -> PrCurve:
        """Give the mean precision-recall curve over the photos so far.

        Returns:
            Precision and recall at the thresholds 0…255.

        Raises:
            ValueError: No photo was added.
        """
        if self._images == 0:
            raise ValueError("no metrics without photos: call update() with at least one map and its truth")
        precision, recall = self._curve_sums / (_CURVE_UNIT * self._images)
        return PrCurve(precision, recall)

    def state(self) -> dict[str, Any]:
        """Give everything needed to rebuild this accumulator elsewhere, without loss.

        Returns:
            `images`, `sums` and `pixels` (Python integers) and `curve_sums` (int64 [2,256]); the same size always.
        """
        return {
            "images": self._images,
            "sums": dict(self._sums),
            "pixels": dict(self._pixels),
            "curve_sums": self._curve_sums.copy(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Rebuild an accumulator from what `state` gave.

        Args:
            state: Result of `state()`.

        Returns:
            An accumulator that goes on where that one stopped.
        """
        metrics = cls()
        metrics._images = int(state["images"])
        metrics._sums = {name: int(state["sums"][name]) for name in metrics._sums}
        metrics._pixels = {name: int(state["pixels"][name]) for name in metrics._pixels}
        metrics._curve_sums = np.array(state["curve_sums"], np.int64).reshape(2, _LEVELS)
        return metrics


def _checked_truth(focus: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.bool_]:
    if focus.ndim != 2 or focus.shape != truth.shape or focus.size == 0:
        raise ValueError(
            f"focus map {_size(focus)} and truth {_size(truth)} must be two-dimensional, of one size and not empty: "
            "resize the map to the truth's size first"
        )
    if truth.dtype == np.bool_:
        return truth
    if truth.dtype == np.uint8:
        return truth > 127
    raise ValueError(f"truth of {_size(truth)} is {truth.dtype}, but must be bool, or uint8 with 255 = in focus")


def _quantised(focus: NDArray[Any]) -> NDArray[np.uint8]:
    if focus.dtype == np.uint8:
        return focus
    if not np.issubdtype(focus.dtype, np.floating):
        raise ValueError(f"focus map of {_size(focus)} is {focus.dtype}, but must be float in [0,1] or uint8")
    low, high = float(focus.min()), float(focus.max())  # both are NaN where there is a NaN
    if not (low >= 0.0 and high <= 1.0):
        raise ValueError(
            f"focus map of {_size(focus)} has values from {low:g} to {high:g}, but they must be finite and in [0,1]"
        )
    return np.rint(focus * np.float32(255)).astype(np.uint8)


def _size(array: NDArray[Any]) -> str:
    return "×".join(map(str, array.shape)) or "scalar"


def _counts_from(histogram: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.append(np.cumsum(histogram[::-1])[::-1], 0)


def _mean_absolute_error(focus: NDArray[Any], in_focus: NDArray[np.bool_], histograms: NDArray[np.int64]) -> float:
    if focus.dtype != np.uint8:
        return float(np.abs(focus - in_focus).mean(dtype=np.float64))
    levels = np.arange(_LEVELS)
    return int(histograms[0] @ levels + histograms[1] @ levels[::-1]) / (255 * focus.size)


def _f_beta(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    weighted = F_BETA2 * precision + recall
    return (1 + F_BETA2) * precision * recall / np.where(weighted > 0, weighted, 1.0)


def _f_pooled(hits: int, predicted: int, actual: int) -> float:
    return (1 + F_BETA2) * hits / (predicted + F_BETA2 * actual) if hits else 0.0


def _f_of_class(hits: int, predicted: int, actual: int) -> float:
    return 1.0 if predicted == actual == 0 else _f_pooled(hits, predicted, actual)


def _iou_of_class(hits: int, predicted: int, actual: int) -> float:
    union = predicted + actual - hits
    return 1.0 if union == 0 else hits / union
