"""A photo library is annotated by what is new or changed, whatever is in it, and every file has its row."""

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dbd_ray.config import AnnotateConfig
from dbd_ray.errors import ConfigError, DatasetError
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
    """Inode and time of each file, by path; the table itself is written by every run."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "library.parquet")
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


def test_equal_and_moved_photos_are_not_looked_at_twice(library: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    shutil.copy(library / "a" / "0.jpg", library / "copy of 0.jpg")
    assert run(library, out).looked_at == 6
    rows = rows_of(out)
    assert rows["copy of 0.jpg"]["content_hash"] == rows["a/0.jpg"]["content_hash"]
    focus = [(out / f"focus/{name}.focus.png").read_bytes() for name in ("a/0.jpg", "copy of 0.jpg")]
    assert decode_mask(focus[0], polarity="focus").tolist() == decode_mask(focus[1], polarity="focus").tolist()

    (library / "moved").mkdir()
    (library / "a" / "3.jpg").rename(library / "moved" / "to here.jpg")
    report = run(library, out)
    assert (report.looked_at, report.reused, report.kept) == (0, 1, 5)
    moved = rows_of(out)["moved/to here.jpg"]
    assert {name: moved[name] for name in ("content_hash", "in_focus_fraction")} == {
        name: rows["a/3.jpg"][name] for name in ("content_hash", "in_focus_fraction")
    }
    assert (out / "focus/moved/to here.jpg.focus.png").is_file()


def test_hostile_files_harm_only_themselves(library: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    for number, name in enumerate(HOSTILE):
        save(library / f"{name}.jpg", 20 + number)
    save(library / "long" / f"{'m' * 251}.jpg", 50)  # no room for the endings of results
    (library / "cut.jpg").write_bytes((library / "a" / "0.jpg").read_bytes()[:900])
    (library / "text.jpg").write_text("not a photo")
    os.mkfifo(library / "pipe.jpg")
    report = run(library, out)
    assert report.counts["ok"] == 5 + len(HOSTILE)
    failed = {name: row["reason"] for name, row in rows_of(out).items() if row["status"] == "error"}
    assert failed == {"cut.jpg": "truncated", "text.jpg": "not_an_image", f"long/{'m' * 251}.jpg": "unusable_name"}
    found = {os.fsencode(path.relative_to(library)) for path in library.rglob("*") if path.is_file() or path.is_fifo()}
    assert found == {row["path_bytes"] for row in rows_of(out).values()}


def test_files_of_others_are_not_replaced(library: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    mine = out / "focus" / "a" / "0.jpg.focus.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    assert run(library, out).counts["error: in_the_way"] == 1
    assert mine.read_bytes() == b"mine"
    assert run(library, out, force=True).counts == {"ok": 5, "skipped: no_photo": 1}

    other = tmp_path / "other"
    other.mkdir()
    pq.write_table(pq.read_table(out / "library.parquet").select(["path"]), other / "library.parquet")
    with pytest.raises(DatasetError, match=r"library\.parquet is no table of this version"):
        run(library, other)
    with pytest.raises(ConfigError, match="is the library itself"):
        run(library, library)


def test_rows_of_a_run_that_was_killed_are_not_made_again(library: Path, tmp_path: Path, run: Run) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(library, whole)
    run(library, broken)
    table = read_table(str(broken))
    assert table is not None
    (broken / "library.parquet").unlink()
    parts = broken / ".dbd-ray-parts"
    parts.mkdir()
    done = table.slice(0, 3)
    pq.write_table(done, parts / f"{'0' * 24}.parquet")
    (parts / f"{'1' * 24}.parquet").write_bytes(b"PAR1 half of it")
    report = run(library, broken)
    assert (report.kept, report.looked_at) == (3, 2)
    assert rows_of(broken) == rows_of(whole)
    assert not parts.exists()


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
