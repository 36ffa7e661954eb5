"""A small network, and photos of many sizes."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def model(tiny_depth_model: Path) -> Path:
    return tiny_depth_model


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = [(40, 90), (128, 64), (64, 64), (1, 1), (301, 17), (200, 150), (33, 47)]
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
