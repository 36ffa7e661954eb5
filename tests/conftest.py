"""Fixtures shared by all tests: where the real photos and reference numbers are."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("DBD_SHARED", Path(__file__).parents[2] / "shared"))
DATA = Path(os.environ.get("DBD_DATA", SHARED / "data"))


def _present(path: Path) -> Path:
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{path} is absent, but CI must have it")
        pytest.skip(f"{path} is absent; set DBD_DATA or DBD_SHARED to where it is")
    return path


@pytest.fixture(scope="session")
def cuhk() -> Path:
    """The CUHK blur detection set, 704 photos (image/, gt/, test.txt)."""
    return _present(DATA / "cuhk")


@pytest.fixture(scope="session")
def bsds500() -> Path:
    """Mostly all-in-focus photos of the Berkeley segmentation set (train/, val/)."""
    return _present(DATA / "bsds500")


@pytest.fixture(scope="session")
def reference() -> Path:
    """Numbers to reproduce: authors' outputs, parameter names, HiFST maps and metrics."""
    return _present(SHARED / "reference")


@pytest.fixture(scope="session")
def mobilenet_weights() -> Path:
    """ImageNet weights of MobileNetV2."""
    return _present(SHARED / "weights" / "mobilenetv2_100.imagenet.safetensors")
