"""Random outlines of the objects in rendered scenes."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator

# cv2 takes coordinates in 1/16 px
_SHIFT = 4


def random_shape(rng: Generator, size: tuple[int, int]) -> np.ndarray:
    """Draw one shape somewhere in the picture: blob, ellipse, polygon or a few stems, with a hard or soft edge.

    Args:
        rng: Source of randomness.
        size: (height, width) of the picture, px.

    Returns:
        float32 HxW in [0,1], share of each pixel that the shape covers.
    """
    mask: np.ndarray = np.zeros(size, np.uint8)
    centre = rng.uniform(0.05, 0.95, 2) * size[::-1]
    # from small things to some that fill most of the picture
    radius = np.exp(rng.uniform(np.log(0.08), np.log(0.55))) * min(size)
    _SHAPES[rng.integers(len(_SHAPES))](rng, mask, centre, radius)
    if rng.random() < 0.3:
        mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.4, 1.2))
    return mask.astype(np.float32) / 255


def _fill(mask: np.ndarray, points: np.ndarray) -> None:
    cv2.fillPoly(mask, [np.round(points * 2**_SHIFT).astype(np.int32)], 255, cv2.LINE_AA, _SHIFT)


def _blob(rng: Generator, mask: np.ndarray, centre: np.ndarray, radius: float) -> None:
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    harmonics = np.arange(1, 8)
    amplitude = rng.normal(0, 0.35, len(harmonics)) / harmonics ** rng.uniform(0.7, 1.5)
    wave = (amplitude[:, None] * np.cos(harmonics[:, None] * angle + rng.uniform(0, 6.28, (7, 1)))).sum(axis=0)
    length = radius * (1 + wave).clip(0.15, 2)
    _fill(mask, centre + length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1))


def _ellipse(rng: Generator, mask: np.ndarray, centre: np.ndarray, radius: float) -> None:
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    turn = rng.uniform(0, np.pi)
    long, short = radius * np.cos(angle), radius * rng.uniform(0.3, 1) * np.sin(angle)
    turned = np.stack([long * np.cos(turn) - short * np.sin(turn), long * np.sin(turn) + short * np.cos(turn)], axis=1)
    _fill(mask, centre + turned)


def _polygon(rng: Generator, mask: np.ndarray, centre: np.ndarray, radius: float) -> None:
    angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
    length = radius * rng.uniform(0.5, 1.3, len(angle))
    _fill(mask, centre + length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1))


def _stems(rng: Generator, mask: np.ndarray, centre: np.ndarray, radius: float) -> None:
    for _ in range(rng.integers(1, 7)):
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.25, 12))
        step = 2.5 * radius / 12
        points = centre + np.cumsum(step * np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
        thickness = int(rng.integers(1, max(3, min(mask.shape) // 24)))
        fixed = np.round(points * 2**_SHIFT).astype(np.int32)
        cv2.polylines(mask, [fixed], False, 255, thickness, cv2.LINE_AA, _SHIFT)


_SHAPES: tuple[Callable[[Generator, np.ndarray, np.ndarray, float], None], ...] = (
    _blob,
    _blob,
    _ellipse,
    _polygon,
    _stems,
)
