"""The teach job on a local Ray: every photo gets its depth, or a row that says why not."""

import io
import json
import logging
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import ray.data
from mlflow import MlflowClient
from PIL import Image

from dbd_ray.checkpoints import load_checkpoint, save_checkpoint
from dbd_ray.config import PrepareConfig, TeachConfig
from dbd_ray.datasets.prepare import prepare_from
from dbd_ray.datasets.prepared import read_info, read_rows
from dbd_ray.errors import ConfigError, DatasetError, TeacherError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_depth
from dbd_ray.images.resize import resize_photo
from dbd_ray.teachers import load_teacher
from dbd_ray.teaching.job import teach
from dbd_ray.teaching.store import read_committed, read_file
from dbd_ray.teaching.summary import TeachReport

pytestmark = pytest.mark.ray
PHOTOS = 12


@pytest.fixture(scope="module", autouse=True)
def _ray(s3: str) -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level=logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture
def labelled(cuhk: Path, tmp_path: Path) -> Path:
    """A CUHK set of twelve real photos."""
    root = tmp_path / "labelled"
    for name in ("image", "gt"):
        (root / name).mkdir(parents=True)
    photos = sorted((cuhk / "image").iterdir())[:PHOTOS]
    for photo in photos:
        shutil.copy(photo, root / "image")
        shutil.copy(cuhk / "gt" / f"{photo.stem}.png", root / "gt")
    (root / "test.txt").write_text("\n".join(photo.name for photo in photos[:2]))
    return root


@pytest.fixture
def prepared(labelled: Path, tmp_path: Path) -> Path:
    out = tmp_path / "prepared"
    prepare_from(PrepareConfig(root=str(labelled), out=str(out), size=(64, 96)))
    return out


@pytest.fixture
def teacher(tiny_depth_model: Path) -> str:
    return f"self:{tiny_depth_model}"


def _teach(tmp_path: Path, **settings: object) -> TeachReport:
    return teach(TeachConfig.model_validate({"storage": str(tmp_path / "runs"), **settings}))


def _rows(prepared: Path) -> dict[str, dict[str, object]]:
    splits = [read_rows(prepared, split).to_pylist() for split in ("train", "val", "test")]
    return {row["id"]: row for rows in splits for row in rows}


def _files(folder: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Path(folder).glob("depth-*")}


def test_every_row_gets_the_depth_that_the_teacher_sees_in_its_original(
    prepared: Path, labelled: Path, teacher: str, tmp_path: Path
) -> None:
    before = _rows(prepared)
    report = _teach(tmp_path, teacher=teacher, data=str(prepared), actors=2)
    assert (report.ok, report.skipped, report.errors) == (PHOTOS, 0, {})
    after = _rows(prepared)
    assert after.keys() == before.keys()
    assert read_info(prepared).depth_rows == PHOTOS
    alone = load_teacher(teacher, device="cpu")
    for photo in sorted((labelled / "image").iterdir()):
        row = after[photo.stem]
        assert row["depth_teacher"] == report.teacher == alone.key
        assert all(row[name] == before[photo.stem][name] for name in ("image", "mask", "split", "uri", "digest"))
        pixels = decode_photo(photo.read_bytes(), target_size=alone.input_size)
        expected = alone.predict(pixels[None])[0]
        depth = decode_depth(row["depth"])  # type: ignore[arg-type]
        assert depth.shape == (64, 96)
        assert (
            np.abs(
                resize_photo(np.uint8(depth * 255)[..., None].repeat(3, 2), expected.shape)[..., 0] / 255 - expected
            ).mean()
            < 0.05
        )


def test_running_again_repeats_nothing(prepared: Path, teacher: str, tmp_path: Path) -> None:
    first = _teach(tmp_path, teacher=teacher, data=str(prepared))
    files, dataset = _files(first.folder), read_info(prepared)
    again = _teach(tmp_path, teacher=teacher, data=str(prepared))
    assert (again.ok, again.skipped, again.photos_per_s) == (PHOTOS, PHOTOS, 0)
    assert _files(again.folder) == files
    assert read_info(prepared) == dataset


def test_changed_weights_teach_anew(prepared: Path, teacher: str, tiny_depth_model: Path, tmp_path: Path) -> None:
    first = _teach(tmp_path, teacher=teacher, data=str(prepared))
    network, card = load_checkpoint(tiny_depth_model)
    network.get_parameter("depth_fusion.weight").data.neg_()
    save_checkpoint(tmp_path / "other", network, card)
    other = _teach(tmp_path, teacher=f"self:{tmp_path / 'other'}", data=str(prepared))
    assert other.teacher != first.teacher
    assert (other.ok, other.skipped) == (PHOTOS, 0)
    assert {row["depth_teacher"] for row in _rows(prepared).values()} == {other.teacher}
    assert len(_files(first.folder)) > 0, "the first teacher's depths are still there to go back to"
    back = _teach(tmp_path, teacher=teacher, data=str(prepared))
    assert back.skipped == PHOTOS
    assert {row["depth_teacher"] for row in _rows(prepared).values()} == {first.teacher}


def test_only_a_photo_that_changed_is_looked_at_again(
    prepared: Path, labelled: Path, teacher: str, tmp_path: Path
) -> None:
    _teach(tmp_path, teacher=teacher, data=str(prepared))
    changed = sorted((labelled / "image").iterdir())[3]
    Image.open(changed).rotate(180).save(changed, quality=95)
    prepare_from(PrepareConfig(root=str(labelled), out=str(prepared), size=(64, 96)))
    assert read_info(prepared).depth_rows == 0
    report = _teach(tmp_path, teacher=teacher, data=str(prepared))
    assert (report.ok, report.skipped) == (PHOTOS, PHOTOS - 1)
    assert read_info(prepared).depth_rows == PHOTOS


def test_a_photo_that_cannot_be_read_becomes_a_row_with_its_reason_and_harms_no_other(
    prepared: Path, labelled: Path, teacher: str, tmp_path: Path
) -> None:
    photos = sorted((labelled / "image").iterdir())
    photos[0].unlink()
    photos[1].write_bytes(photos[1].read_bytes()[:2000])
    photos[2].write_text("not a photo")
    report = _teach(tmp_path, teacher=teacher, data=str(prepared), actors=2)
    assert report.ok == PHOTOS - 3
    assert report.errors == {"unreadable": 1, "truncated": 1, "not_an_image": 1}
    assert str(photos[0]) in report.failures[photos[0].stem]
    rows = _rows(prepared)
    assert {id for id, row in rows.items() if row["depth"] is None} == {photo.stem for photo in photos[:3]}
    again = _teach(tmp_path, teacher=teacher, data=str(prepared))
    assert again.skipped == PHOTOS
    assert again.errors == report.errors


def test_photos_that_failed_can_be_tried_again(prepared: Path, labelled: Path, teacher: str, tmp_path: Path) -> None:
    photo = sorted((labelled / "image").iterdir())[0]
    content = photo.read_bytes()
    photo.unlink()
    _teach(tmp_path, teacher=teacher, data=str(prepared))
    photo.write_bytes(content)
    report = _teach(tmp_path, teacher=teacher, data=str(prepared), retry_errors=True)
    assert (report.ok, report.skipped, report.errors) == (PHOTOS, PHOTOS - 1, {})
    assert read_info(prepared).depth_rows == PHOTOS


def test_without_their_originals_the_prepared_pictures_can_be_taught(
    prepared: Path, labelled: Path, teacher: str, tmp_path: Path
) -> None:
    shutil.rmtree(labelled)
    report = _teach(tmp_path, teacher=teacher, data=str(prepared), pictures="prepared")
    assert (report.ok, report.errors) == (PHOTOS, {})
    assert report.teacher.endswith("+prepared"), "other pictures give other depths"


def test_true_depths_of_rendered_scenes_are_kept(teacher: str, tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    prepare_from(PrepareConfig(scenes=4, out=str(scenes), size=(64, 64), validation_fraction=0))
    before = _rows(scenes)
    report = _teach(tmp_path, teacher=teacher, data=str(scenes))
    assert (report.ok, report.kept) == (0, 4)
    assert _rows(scenes) == before


def test_a_folder_of_photos_is_taught_in_the_shape_of_each(labelled: Path, teacher: str, tmp_path: Path) -> None:
    out = tmp_path / "depths"
    report = _teach(tmp_path, teacher=teacher, photos=str(labelled / "image"), out=str(out))
    assert report.ok == PHOTOS
    found = read_committed(report.folder)
    for name in set(found.files.values()):
        for row in read_file(report.folder, name).to_pylist():
            native = decode_photo((labelled / "image" / row["id"]).read_bytes()).shape
            depth = decode_depth(row["depth"])
            assert max(depth.shape) == min(640, max(native))
            assert depth.shape[0] / depth.shape[1] == pytest.approx(native[0] / native[1], rel=0.01)


def test_a_manifest_on_s3_is_taught_to_s3(s3: str, labelled: Path, teacher: str, tmp_path: Path) -> None:
    client, bucket = boto3.client("s3"), s3.removeprefix("s3://")
    uris = []
    for photo in sorted((labelled / "image").iterdir())[:4]:
        client.put_object(Bucket=bucket, Key=f"photos/{photo.name}", Body=photo.read_bytes())
        uris.append(f"{s3}/photos/{photo.name}")
    stream = io.BytesIO()
    pq.write_table(pa.table({"id": ["a", "b", "c", "d", "e"], "uri": [*uris, f"{s3}/photos/gone.jpg"]}), stream)
    client.put_object(Bucket=bucket, Key="photos.parquet", Body=stream.getvalue())
    settings = {"teacher": teacher, "photos": f"{s3}/photos.parquet", "out": f"{s3}/depths", "size": (64, 64)}
    report = _teach(tmp_path, **settings)
    assert (report.ok, report.errors) == (4, {"unreadable": 1})
    assert {key[0] for key in read_committed(report.folder).files} == {"a", "b", "c", "d"}
    assert _teach(tmp_path, **settings).skipped == 5
    sheet = client.get_object(Bucket=bucket, Key=f"{report.folder.removeprefix(f'{s3}/')}/contact-sheet.png")
    assert Image.open(io.BytesIO(sheet["Body"].read())).width > 500


def test_an_actor_that_dies_is_replaced_and_nothing_is_lost(labelled: Path, teacher: str, tmp_path: Path) -> None:
    photos = [photo.read_bytes() for photo in sorted((labelled / "image").iterdir())]
    many = tmp_path / "many"
    many.mkdir()
    for number in range(256):
        (many / f"{number:04}.jpg").write_bytes(photos[number % PHOTOS])
    killed: list[int] = []

    def kill(done: int, total: int) -> None:
        if not killed:
            killed.extend(_pids_of("DepthPredictor"))
            os.kill(killed[0], signal.SIGKILL)

    settings = {"teacher": teacher, "photos": str(many), "out": str(tmp_path / "out"), "size": (32, 32), "actors": 2}
    config = TeachConfig.model_validate({**settings, "storage": str(tmp_path / "runs"), "rows_per_task": 8})
    report = teach(config, on_photo=kill)
    assert killed
    assert (report.ok, report.errors) == (256, {})
    assert not any(name.endswith(f":{killed[0]}") for name in list(report.actors)[2:])
    assert len(report.actors) == 3


def _pids_of(name: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_text()
            except OSError:
                continue
            if line.startswith("ray::") and name in line:
                found.append(int(entry.name))
    return found


def test_a_teacher_that_cannot_load_says_what_to_do_before_anything_runs(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"nowhere\.tflite.*no such file"):
        _teach(tmp_path, teacher="litert:nowhere.tflite", data=str(prepared))
    assert not (prepared / "depths").exists()


def test_more_teachers_than_the_cluster_holds_are_refused(prepared: Path, teacher: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="actors: 4 teachers"):
        _teach(tmp_path, teacher=teacher, data=str(prepared), actors=4)
    with pytest.raises(ConfigError, match="GPU"):
        _teach(tmp_path, teacher=teacher, data=str(prepared), gpus_per_actor=0.5)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"name": ["a"], "uri": ["a.jpg"]}, "id: empty in 1 of 1 rows"),
        ({"id": ["a", "a"], "uri": ["a.jpg", "b.jpg"]}, "id a stands in several rows"),
        ({"id": ["a", None], "uri": ["a.jpg", "b.jpg"]}, "id: empty in 1 of 2 rows"),
    ],
)
def test_a_bad_manifest_says_what_is_wrong(
    columns: dict[str, list[str]], message: str, teacher: str, tmp_path: Path
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "photos.parquet")
    with pytest.raises(DatasetError, match=message):
        _teach(tmp_path, teacher=teacher, photos=str(tmp_path / "photos.parquet"), out=str(tmp_path / "out"))


def test_what_a_run_did_is_in_mlflow_and_beside_the_depths(prepared: Path, teacher: str, tmp_path: Path) -> None:
    report = _teach(tmp_path, teacher=teacher, data=str(prepared), actors=2)
    summary = json.loads((Path(report.folder) / "summary.json").read_text())
    assert summary["ok"] == PHOTOS
    assert sum(photos for photos, _ in summary["actors"].values()) == PHOTOS
    assert sum(summary["time_shares"].values()) == pytest.approx(1)
    assert "DepthPredictor" in (Path(report.folder) / "stats.txt").read_text()
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'runs'}/mlflow.db")
    run = client.get_run(report.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["ok"] == PHOTOS
    assert {file.path for file in client.list_artifacts(report.run_id)} == {
        "contact-sheet.png", "summary.json", "stats.txt",
    }  # fmt: skip
