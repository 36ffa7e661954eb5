"""Accumulation of all metrics over any number of photos, mergeable without loss."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dbd_ray.metrics.calibration import Reliability
from dbd_ray.metrics.definitions import METRIC_NAMES, PER_PHOTO_METRICS
from dbd_ray.metrics.photo import LEVELS, PhotoCounts
from dbd_ray.metrics.scores import f_beta, f_pooled

_PIXEL_COUNTS = ("hits", "predicted", "actual", "dd_hits", "dd_actual")
# Sums are kept in fixed point: integer addition is associative, so that the result is the same to the last bit
# however the photos were shared out. 2^-60 for Python's unbounded integers; 2^-32 for the int64 curve, which then
# holds two thousand million photos.
_SCALAR_UNIT = 2**60
_CURVE_UNIT = 2**32
# photos are told apart by their MAE to this fraction, which is the largest possible error of the worst tenth's mean
_MAE_BINS = 4096


def worst_tenth(photos: int) -> int:
    """Number of photos that make the worst tenth, at least one."""
    return -(-photos // 10)


class PrCurve(NamedTuple):
    """Precision and recall at the thresholds 0…255 (8-bit map at or above it), mean over photos.

    Args:
        precision: float64 [256] in [0,1].
        recall: float64 [256] in [0,1].
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


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
        self._curve_sums = np.zeros((2, LEVELS), np.int64)
        self._levels = np.zeros((2, LEVELS), np.int64)  # all pixels, and those in focus
        self._mae_bins = np.zeros((2, _MAE_BINS), np.int64)  # photos, and the sum of their MAE

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
            ValueError: The sizes differ, are not H×W or empty, a type is none of these, or the map has NaN or values
                outside [0,1].
        """
        counts = PhotoCounts.of(focus, truth)
        values = counts.per_photo()
        hits, predicted = counts.adaptive
        survives = counts.truth_survives()
        sums = values | {"precision": hits / max(predicted, 1), "recall": hits / max(counts.actual, 1)}
        pixels = {
            "hits": hits,
            "predicted": predicted,
            "actual": counts.actual,
            "dd_hits": hits if survives else 0,
            "dd_actual": counts.actual if survives else 0,
        }
        self._images += 1
        for name, value in sums.items():
            self._sums[name] += round(value * _SCALAR_UNIT)
        for name, count in pixels.items():
            self._pixels[name] += count
        self._curve_sums += np.rint(counts.curve() * _CURVE_UNIT).astype(np.int64)
        self._levels += -np.diff([counts.predicted_from, counts.hits_from])
        mae_bin = min(int(counts.mae * _MAE_BINS), _MAE_BINS - 1)
        self._mae_bins[:, mae_bin] += (1, round(counts.mae * _CURVE_UNIT))
        return values | counts.fractions

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
        self._levels += other._levels
        self._mae_bins += other._mae_bins

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
            "f_adaptive_pooled_dd_notebook": f_pooled(pixels["dd_hits"], pixels["predicted"], pixels["dd_actual"]),
            "f_adaptive_pooled": f_pooled(pixels["hits"], pixels["predicted"], pixels["actual"]),
            "f_adaptive_of_mean_pr": float(f_beta(np.array(means["precision"]), np.array(means["recall"]))),
            "f_max_of_mean_curve": float(f_beta(curve.precision, curve.recall).max()),
            "mae_worst_tenth": self._mae_worst_tenth(),
            "ece": self.reliability().expected_error,
        } | {name: means[name] for name in PER_PHOTO_METRICS}
        return {name: values[name] for name in METRIC_NAMES}

    def curve(self) -> PrCurve:
        """Give the mean precision-recall curve over the photos so far.

        Returns:
            Precision and recall at the thresholds 0…255.

        Raises:
            ValueError: No photo was added.
        """
        self._refuse_none()
        precision, recall = self._curve_sums / (_CURVE_UNIT * self._images)
        return PrCurve(precision, recall)

    def reliability(self) -> Reliability:
        """Give the reliability curve over the pixels of the photos so far; ValueError if no photo was added."""
        self._refuse_none()
        return Reliability.of_levels(self._levels)

    def _refuse_none(self) -> None:
        if self._images == 0:
            raise ValueError("no metrics without photos: call update() with at least one map and its truth")

    def _mae_worst_tenth(self) -> float:
        photos, sums = self._mae_bins[:, ::-1]
        wanted = worst_tenth(self._images)
        taken = np.diff(np.minimum(np.cumsum(photos), wanted), prepend=0)
        means = sums / _CURVE_UNIT / np.maximum(photos, 1)
        return float(taken @ means) / wanted

    def state(self) -> dict[str, Any]:
        """Give everything needed to rebuild this accumulator elsewhere, without loss.

        Returns:
            `images`, `sums` and `pixels` (Python integers), `curve_sums` and `levels` (int64 [2,256]) and `mae_bins`
            (int64 [2,4096]); the same size always.
        """
        return {
            "images": self._images,
            "sums": dict(self._sums),
            "pixels": dict(self._pixels),
            "curve_sums": self._curve_sums.copy(),
            "levels": self._levels.copy(),
            "mae_bins": self._mae_bins.copy(),
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
        metrics._curve_sums = np.array(state["curve_sums"], np.int64).reshape(2, LEVELS)
        metrics._levels = np.array(state["levels"], np.int64).reshape(2, LEVELS)
        metrics._mae_bins = np.array(state["mae_bins"], np.int64).reshape(2, _MAE_BINS)
        return metrics
