"""A model and photos for commands."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Path:
    """Checkpoint folder of the small random network."""
    return tiny_model


@pytest.fixture
def photos(cuhk: Path, tmp_path: Path) -> Path:
    """A folder of three real photos."""
    (tmp_path / "photos").mkdir()
    for source in sorted((cuhk / "image").iterdir())[:3]:
        shutil.copy(source, tmp_path / "photos")
    return tmp_path / "photos"
