"""Convolution kernel of a defocused point: a uniform disc."""

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=512)
def disc_kernel(diameter_px: float) -> np.ndarray:
    """Build the convolution kernel of a disc.

    Args:
        diameter_px: Diameter in pixels; up to 1 the kernel is one pixel.

    Returns:
        float32 k×k, k odd: the share of the disc's area on each pixel, sum 1. Read-only, since calls share it.
    """
    radius = diameter_px / 2
    reach = max(int(np.ceil(radius - 0.5)), 0)
    samples = 16
    offset = (np.arange((2 * reach + 1) * samples) + 0.5) / samples - (reach + 0.5)
    inside = (offset[:, None] ** 2 + offset**2 <= max(radius, 0.5) ** 2).astype(np.float32)
    kernel = inside.reshape(2 * reach + 1, samples, 2 * reach + 1, samples).mean(axis=(1, 3))
    kernel /= kernel.sum()
    kernel.setflags(write=False)
    return kernel
