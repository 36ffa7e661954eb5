"""What teaching does about photos, processes, places and settings that are bad."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dbd_ray.checkpoints.files import load_checkpoint, save_checkpoint
from dbd_ray.config import TeachConfig
from dbd_ray.datasets.prepared import read_info
from dbd_ray.errors import ConfigError, DatasetError, TeacherError
from dbd_ray.teaching.decode_photos import DecodePhotos
from dbd_ray.teaching.depth_report import TeachReport
from dbd_ray.teaching.job import teach

pytestmark = [pytest.mark.ray, pytest.mark.workers, pytest.mark.usefixtures("local_ray")]
PHOTOS = 12
Run = Callable[..., TeachReport]
RowsOf = Callable[[Path], dict[str, dict[str, Any]]]
IdsIn = Callable[[str], list[str]]


def test_a_photo_that_cannot_be_read_becomes_a_row_with_its_reason_and_harms_no_other(
    prepared: Path, labelled: Path, teacher: str, run: Run, rows_of: RowsOf
) -> None:
    photos = sorted((labelled / "image").iterdir())
    photos[0].unlink()
    photos[1].write_bytes(photos[1].read_bytes()[:2000])
    photos[2].write_text("not a photo")
    report = run(teacher=teacher, data=str(prepared), actors=2)
    assert report.ok == PHOTOS - 3
    assert report.errors == {"unreadable": 1, "truncated": 1, "not_an_image": 1}
    assert str(photos[0]) in report.failures[photos[0].stem]
    rows = rows_of(prepared)
    assert {id for id, row in rows.items() if row["depth"] is None} == {photo.stem for photo in photos[:3]}
    again = run(teacher=teacher, data=str(prepared))
    assert again.skipped == PHOTOS
    assert again.errors == report.errors


@pytest.mark.slow
def test_photos_that_failed_can_be_tried_again(prepared: Path, labelled: Path, teacher: str, run: Run) -> None:
    photo = sorted((labelled / "image").iterdir())[0]
    content = photo.read_bytes()
    photo.unlink()
    run(teacher=teacher, data=str(prepared))
    photo.write_bytes(content)
    report = run(teacher=teacher, data=str(prepared), retry_errors=True)
    assert (report.ok, report.skipped, report.errors) == (PHOTOS, PHOTOS - 1, {})
    assert read_info(prepared).depth_rows == PHOTOS


@pytest.mark.chaos
def test_an_actor_that_dies_is_replaced_and_nothing_is_lost(labelled: Path, teacher: str, tmp_path: Path) -> None:
    photos = [photo.read_bytes() for photo in sorted((labelled / "image").iterdir())]
    many = tmp_path / "many"
    many.mkdir()
    for number in range(256):
        (many / f"{number:04}.jpg").write_bytes(photos[number % PHOTOS])
    first: list[int] = []

    def kill(done: int, total: int, failed: int) -> None:
        if not first:
            first.extend(_actors())
            os.kill(first[0], signal.SIGKILL)

    settings = {"teacher": teacher, "photos": str(many), "out": str(tmp_path / "out"), "size": (32, 32), "actors": 2}
    config = TeachConfig.model_validate({**settings, "storage": str(tmp_path / "runs"), "rows_per_task": 8})
    report = teach(config, on_photo=kill)
    assert (report.ok, report.errors) == (256, {})
    assert {int(name.rpartition(":")[2]) for name in report.actors} - set(first), "another one took its place"


def _actors() -> list[int]:
    processes = psutil.Process().children(recursive=True)
    return [process.pid for process in processes if "DepthPredictor" in "".join(process.cmdline())]


@pytest.mark.slow
@pytest.mark.chaos
def test_a_photo_that_kills_its_process_gets_a_row_and_harms_no_other(
    labelled: Path, teacher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, ids_in: IdsIn
) -> None:
    photos = sorted((labelled / "image").iterdir())
    deadly = photos[4].name  # first of its task: others wait behind it for the same process

    class DyingDecoder(DecodePhotos):  # as a fault in a decoder's native code would end it
        def _row(self, row: dict[str, Any], picture: bytes | None) -> dict[str, Any]:
            if row["id"] == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return super()._row(row, picture)

    monkeypatch.setattr("dbd_ray.teaching.pipeline.DecodePhotos", DyingDecoder)
    out = str(tmp_path / "out")
    report = run(teacher=teacher, photos=str(labelled / "image"), out=out, size=(32, 32), rows_per_task=4, actors=1)
    assert (report.ok, report.errors) == (PHOTOS - 1, {"crashed": 1})
    assert list(report.failures) == [deadly]
    assert ids_in(report.folder) == sorted(photo.name for photo in photos)


@pytest.mark.slow
def test_if_no_photo_has_a_depth_the_dataset_stays_as_it_was(
    prepared: Path,
    labelled: Path,
    teacher: str,
    tiny_depth_model: Path,
    tmp_path: Path,
    run: Run,
    rows_of: RowsOf,
    ids_in: IdsIn,
) -> None:
    run(teacher=teacher, data=str(prepared))
    before = read_info(prepared)
    (labelled / "image").rename(tmp_path / "moved")
    network, card = load_checkpoint(tiny_depth_model)
    network.get_parameter("depth_fusion.weight").data.neg_()
    save_checkpoint(tmp_path / "other", network, card)
    settings = {"teacher": f"self:{tmp_path / 'other'}", "data": str(prepared)}
    with pytest.raises(TeacherError, match=r"none of 12 photos has a depth; .*unreadable.*--retry-errors"):
        run(**settings)
    assert read_info(prepared) == before
    (tmp_path / "moved").rename(labelled / "image")
    report = run(**settings, retry_errors=True)
    assert report.ok == PHOTOS
    assert ids_in(report.folder) == sorted(rows_of(prepared)), "what failed before has no second row"


def test_anything_that_reading_raises_concerns_one_row(labelled: Path, teacher: str, tmp_path: Path, run: Run) -> None:
    photo = str(sorted((labelled / "image").iterdir())[0])
    manifest = {"id": ["good", "nul", "nothing"], "uri": [photo, "a\0b.jpg", "nowhere://x/y.jpg"]}
    pq.write_table(pa.table(manifest), tmp_path / "photos.parquet")
    out = str(tmp_path / "out")
    report = run(teacher=teacher, photos=str(tmp_path / "photos.parquet"), out=out)
    assert (report.ok, report.errors) == (1, {"unreadable": 2})


def test_a_teacher_that_cannot_load_says_what_to_do_before_anything_runs(prepared: Path, run: Run) -> None:
    with pytest.raises(TeacherError, match=r"nowhere\.tflite.*no such file"):
        run(teacher="litert:nowhere.tflite", data=str(prepared))
    assert not (prepared / "depths").exists()


def test_more_teachers_than_the_cluster_holds_are_refused(prepared: Path, teacher: str, run: Run) -> None:
    with pytest.raises(ConfigError, match="actors: 4 teachers"):
        run(teacher=teacher, data=str(prepared), actors=4)
    with pytest.raises(ConfigError, match="GPU"):
        run(teacher=teacher, data=str(prepared), gpus_per_actor=0.5)
    with pytest.raises(ConfigError, match=r"litert:a\.tflite runs on the CPU"):
        run(teacher="litert:a.tflite", data=str(prepared), gpus_per_actor=0.5)


def test_a_dataset_that_lost_files_is_not_published_with_fewer_rows(prepared: Path, teacher: str, run: Run) -> None:
    before = read_info(prepared)
    next((prepared / before.parts).glob("*.parquet")).rename(prepared / "moved.parquet")
    with pytest.raises(DatasetError, match=r"missing or damaged|0 of 12 rows found"):
        run(teacher=teacher, data=str(prepared))
    assert read_info(prepared) == before


def test_what_is_no_photos_and_no_manifest_says_what_to_give(teacher: str, tmp_path: Path, run: Run) -> None:
    with pytest.raises(DatasetError, match=r"give a folder of them, or a \.parquet file"):
        run(teacher=teacher, photos=str(tmp_path / "nowhere"), out=str(tmp_path / "out"))


def test_a_place_that_cannot_be_written_is_named_before_anything_runs(
    labelled: Path, teacher: str, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetError, match="cannot be"):
        run(teacher=teacher, photos=str(labelled / "image"), out=str(tmp_path / "file" / "out"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"name": ["a"], "uri": ["a.jpg"]}, "id: empty in 1 of 1 rows"),
        ({"id": ["a", "a"], "uri": ["a.jpg", "b.jpg"]}, "id a stands in several rows"),
        ({"id": ["a", None], "uri": ["a.jpg", "b.jpg"]}, "id: empty in 1 of 2 rows"),
    ],
)
def test_a_bad_manifest_says_what_is_wrong(
    columns: dict[str, list[str]], message: str, teacher: str, tmp_path: Path, run: Run
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "photos.parquet")
    with pytest.raises(DatasetError, match=message):
        run(teacher=teacher, photos=str(tmp_path / "photos.parquet"), out=str(tmp_path / "out"))
