"""Random surfaces of rendered scenes: procedural patterns, and pieces of photos."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator

from dbd_ray.images.decode import decode_photo, photo_size
from dbd_ray.images.resize import resize_photo

_PLAIN_SHARE = 0.15


def random_surface(rng: Generator, size: tuple[int, int]) -> np.ndarray:
    """Paint a surface with a random pattern in a few related colours, seldom with none at all.

    Args:
        rng: Source of randomness.
        size: (height, width) of the surface, px.

    Returns:
        uint8 HxWx3, sRGB.
    """
    if rng.random() < _PLAIN_SHARE:
        pattern = _slope(rng, size)
        contrast = rng.uniform(0, 0.15)
    else:
        pattern = _PATTERNS[rng.integers(len(_PATTERNS))](rng, size)
        pattern = pattern + rng.uniform(0, 0.5) * (_octaves(rng, size) - 0.5)
        contrast = rng.uniform(0.15, 0.6)
    return _coloured(rng, pattern, contrast)


def photo_piece(rng: Generator, size: tuple[int, int], photo: bytes | np.ndarray) -> np.ndarray:
    """Cut a random piece out of a photo, half to all of it, mirrored half of the time.

    Args:
        rng: Source of randomness.
        size: (height, width) of the piece, px.
        photo: Encoded file, or uint8 HxWx3; shrunk so that the piece is sharp, enlarged only if it is too small.

    Returns:
        uint8 HxWx3, sRGB.

    Raises:
        PhotoError: The file cannot be decoded.
    """
    full = np.array(photo_size(photo) if isinstance(photo, bytes) else photo.shape[:2])
    smallest = float((np.array(size) / full).max())
    # never enlarge for the sake of a narrower view: what is interpolated is not in focus
    scale = smallest * min(rng.uniform(1, 2), max(1.0, 1 / smallest))
    height, width = (max(round(side), least) for side, least in zip(full * scale, size, strict=True))
    if isinstance(photo, bytes):
        pixels = decode_photo(photo, target_size=(height, width))
    else:
        pixels = resize_photo(photo, (height, width))
    top, left = rng.integers(height - size[0] + 1), rng.integers(width - size[1] + 1)
    piece = pixels[top : top + size[0], left : left + size[1]]
    return np.ascontiguousarray(piece[:, ::-1] if rng.random() < 0.5 else piece)


def _coloured(rng: Generator, pattern: np.ndarray, contrast: float) -> np.ndarray:
    # colours drift along a line through a random muted colour; most natural surfaces are nearly of one hue
    base = rng.uniform(0.1, 0.9) + rng.normal(0, 0.12, 3)
    direction = 1 + rng.normal(0, 0.35, 3)
    table = base + np.linspace(-1, 1, 256)[:, None] * contrast * direction
    table_bytes = (table.clip(0, 1) * 255).astype(np.uint8)
    return table_bytes[(pattern.clip(0, 1) * 255).astype(np.uint8)]


def _octaves(rng: Generator, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    persistence = rng.uniform(0.7, 1.1)
    total = np.zeros(size, np.float32)
    amplitude, cell = 1.0, max(size) / 4
    while cell >= 1:
        grid = rng.random((int(height / cell) + 2, int(width / cell) + 2), dtype=np.float32) - 0.5
        total += amplitude * cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
        amplitude *= persistence
        cell /= 2
    return 0.5 + total / (4 * total.std() + 1e-6)


def _ramp(rng: Generator, size: tuple[int, int], angle: float) -> np.ndarray:
    y, x = np.ogrid[: size[0], : size[1]]
    return (np.cos(angle) * x + np.sin(angle) * y).astype(np.float32)


def _slope(rng: Generator, size: tuple[int, int]) -> np.ndarray:
    ramp = _ramp(rng, size, rng.uniform(0, 2 * np.pi))
    return (ramp - ramp.min()) / (np.ptp(ramp) + 1)


def _stripes(rng: Generator, size: tuple[int, int]) -> np.ndarray:
    period = np.exp(rng.uniform(np.log(4), np.log(max(size) / 4)))
    wave = np.sin(_ramp(rng, size, rng.uniform(0, np.pi)) * (2 * np.pi / period) + 2 * _octaves(rng, size))
    return 0.5 + 0.5 * np.tanh(rng.uniform(0.5, 6) * wave)


def _checks(rng: Generator, size: tuple[int, int]) -> np.ndarray:
    period = np.exp(rng.uniform(np.log(6), np.log(max(size) / 4)))
    angle = rng.uniform(0, np.pi)
    waves = (np.sin(_ramp(rng, size, angle + turn) * (2 * np.pi / period)) for turn in (0, np.pi / 2))
    return 0.5 + 0.5 * np.tanh(8 * next(waves) * next(waves))


def _cells(rng: Generator, size: tuple[int, int]) -> np.ndarray:
    count = int(np.exp(rng.uniform(np.log(30), np.log(1500))))
    seeds = np.ones(size, np.uint8)
    seeds[rng.integers(size[0], size=count), rng.integers(size[1], size=count)] = 0
    distance, label = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    shade = rng.random(count + 1, dtype=np.float32)[label]
    return 0.7 * shade + 0.3 * (1 - distance / (distance.max() + 1))


def _litter(rng: Generator, size: tuple[int, int]) -> np.ndarray:
    canvas = (255 * _slope(rng, size)).astype(np.uint8)
    largest = rng.uniform(0.02, 0.12) * max(size)
    for _ in range(rng.integers(60, 200)):
        centre = (rng.random(2) * size[::-1] * 16).astype(int).tolist()
        axes = (rng.uniform(0.1, 1, 2) * largest * 16).astype(int).tolist()
        shade = int(rng.integers(256))
        cv2.ellipse(canvas, centre, axes, rng.uniform(0, 180), 0, 360, shade, -1, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) / 255


_PATTERNS: tuple[Callable[[Generator, tuple[int, int]], np.ndarray], ...] = (
    _octaves,
    _octaves,
    _litter,
    _litter,
    _cells,
    _stripes,
    _checks,
)
