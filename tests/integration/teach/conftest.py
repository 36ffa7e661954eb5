"""A small CUHK set, and ways to teach it and to look at what came of it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dbd_ray.config import PrepareConfig, TeachConfig
from dbd_ray.datasets.prepare import prepare_from
from dbd_ray.datasets.prepared import read_rows
from dbd_ray.teaching.depth_report import TeachReport
from dbd_ray.teaching.job import teach


@pytest.fixture
def labelled(cuhk: Path, tmp_path: Path) -> Path:
    """A CUHK set of twelve real photos."""
    root = tmp_path / "labelled"
    for name in ("image", "gt"):
        (root / name).mkdir(parents=True)
    photos = sorted((cuhk / "image").iterdir())[:12]
    for photo in photos:
        shutil.copy(photo, root / "image")
        shutil.copy(cuhk / "gt" / f"{photo.stem}.png", root / "gt")
    (root / "test.txt").write_text("\n".join(photo.name for photo in photos[:2]))
    return root


@pytest.fixture
def prepared(labelled: Path, tmp_path: Path) -> Path:
    """The same, prepared."""
    out = tmp_path / "prepared"
    prepare_from(PrepareConfig(root=str(labelled), out=str(out), size=(64, 96)))
    return out


@pytest.fixture
def teacher(tiny_depth_model: Path) -> str:
    """A teacher that loads in a moment."""
    return f"self:{tiny_depth_model}"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., TeachReport]:
    """Teaches with the given settings."""
    return lambda **settings: teach(TeachConfig.model_validate({"storage": str(tmp_path / "runs"), **settings}))


@pytest.fixture
def rows_of() -> Callable[[Path], dict[str, dict[str, Any]]]:
    """Reads all rows of a prepared dataset by their ids."""

    def read(prepared: Path) -> dict[str, dict[str, Any]]:
        splits = [read_rows(prepared, split).to_pylist() for split in ("train", "val", "test")]
        return {row["id"]: row for rows in splits for row in rows}

    return read


@pytest.fixture
def ids_in() -> Callable[[str], list[str]]:
    """Reads the ids of all rows on storage, in whatever file they are, sorted."""

    def read(folder: str) -> list[str]:
        parts = [pq.read_table(part, columns=["id"]) for part in Path(folder).glob("depth-*")]
        return sorted(id for part in parts for id in part["id"].to_pylist())

    return read
