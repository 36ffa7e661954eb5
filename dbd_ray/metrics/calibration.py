"""Calibration of focus maps: how often a pixel is in focus among those that were given one focus value."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

BINS = 15  # as in Guo et al., "On Calibration of Modern Neural Networks", ICML 2017
_LEVELS_PER_BIN = 17  # of the levels 0…255; the last bin also has level 255, the focus value 1


class Reliability(NamedTuple):
    """Reliability curve over `BINS` equal bins of the predicted focus value, pixels of all photos pooled.

    Args:
        pixels: int64 [15], number of pixels by bin.
        predicted: float64 [15], their mean predicted focus value, in 8 bits; NaN in bins without pixels.
        actual: float64 [15], share of them that is in focus; NaN in bins without pixels.
    """

    pixels: NDArray[np.int64]
    predicted: NDArray[np.float64]
    actual: NDArray[np.float64]

    @classmethod
    def of_levels(cls, levels: NDArray[np.int64]) -> Self:
        """Bin the pixels of 8-bit maps.

        Args:
            levels: int64 [2,256], numbers of all pixels and of in-focus pixels by the level that maps give them.
        """
        values = np.arange(levels.shape[1])
        edges = np.arange(BINS) * _LEVELS_PER_BIN
        pixels, hits = np.add.reduceat(levels, edges, axis=1)
        level_sums = np.add.reduceat(levels[0] * values, edges)
        counted = np.where(pixels > 0, pixels, np.nan)
        return cls(pixels, level_sums / 255 / counted, hits / counted)

    @property
    def expected_error(self) -> float:
        """Expected calibration error in [0,1]: mean distance of predicted and actual over the bins, by their pixels.

        Naeini et al., AAAI 2015; Guo et al., ICML 2017. They bin by the confidence in the chosen class; here the
        bins are those of the focus value, so that being too sure of blur and too sure of focus both show.
        """
        return float(np.nansum(self.pixels * np.abs(self.predicted - self.actual)) / self.pixels.sum())
