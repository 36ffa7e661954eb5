"""Pixel counts of one photo's map and truth, from which every thresholded metric follows."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dbd_ray.metrics.scores import f_of_class, iou_of_class
from dbd_ray.summary import kind_of

LEVELS = 256  # number of values of an 8-bit map
_HALF = 128  # the lowest level that is in focus at threshold 0.5


@dataclass(frozen=True, eq=False)
class PhotoCounts:
    """Numbers of in-focus pixels of one photo, by the 8-bit level that its map gives them.

    Args:
        pixels: Number of pixels of the photo.
        actual: Number of in-focus pixels of the truth.
        hits_from: int64 [257], in-focus pixels of the truth whose level is at or above 0…256.
        predicted_from: int64 [257], pixels of any kind whose level is at or above 0…256.
        mae: Mean absolute difference of map and truth, in [0,1].
    """

    pixels: int
    actual: int
    hits_from: NDArray[np.int64]
    predicted_from: NDArray[np.int64]
    mae: float

    @classmethod
    def of(cls, focus: NDArray[Any], truth: NDArray[Any]) -> Self:
        """Count a photo's pixels.

        Args:
            focus: Predicted focus map, float H×W in [0,1], rounded to 8 bits here, or uint8 H×W (255 = in focus).
            truth: Mask of the same size, bool or uint8 H×W, in focus where True or above 127.

        Returns:
            The counts, with `mae` of the map as it was given.

        Raises:
            ValueError: The sizes differ, are not H×W or empty, a type is none of these, or the map has NaN or values
                outside [0,1].
        """
        in_focus = _checked_truth(focus, truth)
        levels = _quantised(focus)
        joint = ((in_focus.astype(np.uint16) << 8) | levels).ravel()
        out_histogram, in_histogram = np.bincount(joint, minlength=2 * LEVELS).reshape(2, LEVELS)
        hits_from = _counts_from(in_histogram)
        return cls(
            pixels=levels.size,
            actual=int(in_histogram.sum()),
            hits_from=hits_from,
            predicted_from=hits_from + _counts_from(out_histogram),
            mae=_mean_absolute_error(focus, in_focus, out_histogram, in_histogram),
        )

    @cached_property
    def adaptive(self) -> tuple[int, int]:
        """Numbers of hits and of predicted pixels strictly above min(1.5 × the mean of the 8-bit map, 255)."""
        # the sum of all levels: each pixel is counted once in every level up to its own
        mean_level = int(self.predicted_from[1:].sum()) / self.pixels
        first_above = int(min(1.5 * mean_level, 255.0)) + 1
        return int(self.hits_from[first_above]), int(self.predicted_from[first_above])

    def truth_survives(self) -> bool:
        """Say whether the truth lies above its own adaptive threshold (notebook); not if 2/3 or more is in focus."""
        return min(1.5 * (255 * self.actual / self.pixels), 255.0) < 255.0

    def per_photo(self) -> dict[str, float]:
        """Give the values of `PER_PHOTO_METRICS` by name, in [0,1]."""
        half_hits, half_predicted = int(self.hits_from[_HALF]), int(self.predicted_from[_HALF])
        of_focus = half_hits, half_predicted, self.actual
        blur_hits = self.pixels - self.actual - (half_predicted - half_hits)
        of_blur = blur_hits, self.pixels - half_predicted, self.pixels - self.actual
        return {
            "mae": self.mae,
            "f_adaptive_per_image": f_of_class(*self.adaptive, self.actual),
            "f_at_half_focus": f_of_class(*of_focus),
            "f_at_half_blur": f_of_class(*of_blur),
            "iou_at_half_focus": iou_of_class(*of_focus),
            "iou_at_half_blur": iou_of_class(*of_blur),
            "kind_accuracy": float(
                kind_of(self.fractions["in_focus_fraction_map"]) == kind_of(self.fractions["in_focus_fraction_truth"])
            ),
        }

    @cached_property
    def fractions(self) -> dict[str, float]:
        """Shares of pixels in focus in [0,1], by name: of the truth, and of the map at threshold 0.5."""
        return {
            "in_focus_fraction_truth": self.actual / self.pixels,
            "in_focus_fraction_map": int(self.predicted_from[_HALF]) / self.pixels,
        }

    def curve(self) -> NDArray[np.float64]:
        """Give precision and recall at the thresholds 0…255, float64 [2,256]; 0 where nothing is predicted."""
        hits, predicted = self.hits_from[:-1], self.predicted_from[:-1]
        return np.stack((hits / np.maximum(predicted, 1), hits / max(self.actual, 1)))


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
    # at or above each level 0…256, so that index 256 is the empty prediction
    return np.append(np.cumsum(histogram[::-1])[::-1], 0)


def _mean_absolute_error(
    focus: NDArray[Any],
    in_focus: NDArray[np.bool_],
    out_histogram: NDArray[np.int64],
    in_histogram: NDArray[np.int64],
) -> float:
    if focus.dtype != np.uint8:
        return float(np.abs(focus - in_focus).mean(dtype=np.float64))
    levels = np.arange(LEVELS)
    return int(out_histogram @ levels + in_histogram @ levels[::-1]) / (255 * focus.size)
