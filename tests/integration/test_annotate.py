"""A photo library is annotated by what is new or changed, whatever is in it, and every file has its row."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import cv2
import numpy as np
import pytest
from PIL import Image

from dbd_ray.config import AnnotateConfig
from dbd_ray.images.encode import decode_mask
from dbd_ray.library.job import AnnotateReport, annotate
from dbd_ray.library.parts import read_table

pytestmark = [pytest.mark.ray, pytest.mark.workers, pytest.mark.usefixtures("local_ray")]
HOSTILE = [
    "<script>alert(1)<",
    "new\nline",
    "quote'\"",
    "100%2F#?",
    "u\u0308",
    "\u00fc",
    "n" * 240,
    os.fsdecode(b"latin-\xe9"),
]
Run = Callable[..., AnnotateReport]


def photo(seed: int, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (15, 20, 3), np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def save(path: Path, seed: int, size: tuple[int, int] = (120, 160), **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo(seed, size)).save(path, "JPEG", quality=90, **options)


def rows_of(out: Path | str) -> dict[str, dict[str, Any]]:
    table = read_table(str(out))
    assert table is not None
    return {row["path"]: row for row in table.to_pylist()}


def below(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of each file, by path."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number in range(4):
        save(folder / "a" / f"{number}.jpg", number)
    save(folder / "b" / "IMG_1.JPG", 9, exif=_turned(6))
    (folder / "notes.txt").write_text("not a photo")
    return folder


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path) -> Run:
    def run_it(source: Path | str, out: Path | str, **settings: Any) -> AnnotateReport:
        common = {"source": str(source), "out": str(out), "model": str(tiny_model), "storage": str(tmp_path / "runs")}
        dry_run = settings.pop("dry_run", False)
        return annotate(AnnotateConfig(**common | {"photos_per_task": 4} | settings), dry_run=dry_run)

    return run_it


def _turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def test_only_what_is_new_or_changed_is_looked_at(library: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    planned = run(library, out, dry_run=True)
    assert (planned.looked_at, planned.counts, out.exists()) == (5, {"skipped: no_photo": 1}, False)

    first = run(library, out, save="focus,masks,crops,gallery")
    assert first.counts == {"ok": 5, "skipped: no_photo": 1}
    rows, files = rows_of(out), below(out)
    turned = rows["b/IMG_1.JPG"]
    assert (turned["width"], turned["height"], turned["status"]) == (120, 160, "ok")
    assert decode_mask((out / "focus/b/IMG_1.JPG.focus.png").read_bytes(), polarity="focus").shape == (160, 120)
    assert decode_mask((out / "masks/b/IMG_1.JPG.png").read_bytes(), polarity="focus").shape == (120, 160)  # as stored
    assert len([name for name in files if name.startswith("gallery/thumbs/")]) == 10

    again = run(library, out, save="focus,masks,crops,gallery")
    assert (again.looked_at, again.kept, again.counts) == (0, 5, first.counts)
    assert (rows_of(out), below(out)) == (rows, files)

    save(library / "a" / "1.jpg", 77)
    save(library / "new.jpg", 78)
    (library / "a" / "2.jpg").unlink()
    third = run(library, out, save="focus,masks,crops,gallery")
    assert (third.looked_at, third.kept, third.counts["ok"]) == (2, 3, 5)
    assert rows_of(out)["a/1.jpg"] != rows["a/1.jpg"]
    assert "a/2.jpg" not in rows_of(out)
    assert run(library, out, save="focus", dry_run=True).looked_at == 5, "other settings are other results"


def test_a_library_on_s3_is_annotated_there(library: Path, tmp_path: Path, run: Run, s3: str) -> None:
    place = f"{s3}/{uuid.uuid4().hex[:8]} 100% #1"
    bucket, _, key = place.removeprefix("s3://").partition("/")
    for path in library.rglob("*.*"):
        boto3.client("s3").upload_file(str(path), bucket, f"{key}/photos/{path.relative_to(library)}")
    first = run(f"{place}/photos", f"{place}/out", save="focus,masks")
    assert first.counts == {"ok": 5, "skipped: no_photo": 1}
    run(library, tmp_path / "out", save="focus,masks")
    columns = ("content_hash", "in_focus_fraction", "sharpness", "perceptual_hash", "width", "height")
    there, here = rows_of(f"{place}/out"), rows_of(tmp_path / "out")
    assert {name: [row[column] for column in columns] for name, row in there.items()} == {
        name: [row[column] for column in columns] for name, row in here.items()
    }
    assert run(f"{place}/photos", f"{place}/out", save="focus,masks").looked_at == 0
