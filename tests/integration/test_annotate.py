"""A photo library is annotated by what is new or changed, whatever is in it, and every file has its row."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from libraries import make_library, rows_of, save_photo

from dbd_ray.config import AnnotateConfig
from dbd_ray.images.encode import decode_mask
from dbd_ray.library.job import annotate, open_library, planned
from dbd_ray.library.report import AnnotateReport

pytestmark = [pytest.mark.ray, pytest.mark.workers, pytest.mark.usefixtures("local_ray")]
Run = Callable[..., AnnotateReport]


def below(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of each file, by path."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def keys_below(bucket: str, prefix: str) -> list[str]:
    """Keys of the objects below a prefix."""
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for entry in listed["Contents"]]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return make_library(tmp_path / "photos")


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path) -> Run:
    def run_it(source: Path | str, out: Path | str, **settings: Any) -> AnnotateReport:
        common = {"source": str(source), "out": str(out), "model": str(tiny_model), "storage": str(tmp_path / "runs")}
        dry_run = settings.pop("dry_run", False)
        library = open_library(AnnotateConfig(**common | {"photos_per_task": 4} | settings))
        return planned(library) if dry_run else annotate(library)

    return run_it


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

    save_photo(library / "a" / "1.jpg", 77)
    save_photo(library / "new.jpg", 78)
    (library / "a" / "2.jpg").unlink()
    third = run(library, out, save="focus,masks,crops,gallery")
    assert (third.looked_at, third.kept, third.counts["ok"]) == (2, 3, 5)
    assert rows_of(out)["a/1.jpg"] != rows["a/1.jpg"]
    assert "a/2.jpg" not in rows_of(out)
    assert run(library, out, save="focus", dry_run=True).looked_at == 5, "other settings are other results"


@pytest.mark.slow
def test_a_library_on_s3_is_annotated_there(library: Path, tmp_path: Path, run: Run, s3: str) -> None:
    place = f"{s3}/{uuid.uuid4().hex[:8]} 100% #1"
    bucket, _, key = place.removeprefix("s3://").partition("/")
    for path in library.rglob("*.*"):
        boto3.client("s3").upload_file(str(path), bucket, f"{key}/photos/{path.relative_to(library)}")
    first = run(f"{place}/photos", f"{place}/out", save="focus,masks,gallery")
    assert first.counts == {"ok": 5, "skipped: no_photo": 1}
    run(library, tmp_path / "out", save="focus,masks,gallery")
    names = [name.rpartition("/")[2] for name in keys_below(bucket, f"{key}/out/gallery/")]
    assert {"index.html", "bursts.html", "gallery.js"} <= set(names)
    assert len([name for name in names if name.endswith(".overlay.jpg")]) == 5
    columns = ("content_hash", "in_focus_fraction", "sharpness", "perceptual_hash", "width", "height")
    there, here = rows_of(f"{place}/out"), rows_of(tmp_path / "out")
    assert {name: [row[column] for column in columns] for name, row in there.items()} == {
        name: [row[column] for column in columns] for name, row in here.items()
    }
    assert run(f"{place}/photos", f"{place}/out", save="focus,masks,gallery").looked_at == 0
