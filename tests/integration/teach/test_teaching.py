"""The teach job on a local Ray: every photo gets its depth, once."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from PIL import Image

from dbd_ray.checkpoints.files import load_checkpoint, save_checkpoint
from dbd_ray.config import PrepareConfig
from dbd_ray.datasets.prepare import prepare_from
from dbd_ray.datasets.prepared import read_info
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_depth
from dbd_ray.images.resize import resize_photo
from dbd_ray.teachers import load_teacher
from dbd_ray.teaching.depth_report import TeachReport
from dbd_ray.teaching.store import read_committed, read_file

pytestmark = [pytest.mark.ray, pytest.mark.workers, pytest.mark.usefixtures("local_ray")]
PHOTOS = 12
Run = Callable[..., TeachReport]
RowsOf = Callable[[Path], dict[str, dict[str, Any]]]
IdsIn = Callable[[str], list[str]]


def files_of(folder: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Path(folder).glob("depth-*")}


def test_every_row_gets_the_depth_that_the_teacher_sees_in_its_original(
    prepared: Path, labelled: Path, teacher: str, run: Run, rows_of: RowsOf
) -> None:
    before = rows_of(prepared)
    report = run(teacher=teacher, data=str(prepared), actors=2)
    assert (report.ok, report.skipped, report.errors) == (PHOTOS, 0, {})
    after = rows_of(prepared)
    assert after.keys() == before.keys()
    assert read_info(prepared).depth_rows == PHOTOS
    alone = load_teacher(teacher, device="cpu")
    for photo in sorted((labelled / "image").iterdir()):
        row = after[photo.stem]
        assert row["depth_teacher"] == report.teacher == alone.key
        assert all(row[name] == before[photo.stem][name] for name in ("image", "mask", "split", "uri", "digest"))
        pixels = decode_photo(photo.read_bytes(), target_size=alone.input_size)
        expected = alone.predict(pixels[None])[0]
        depth = decode_depth(row["depth"])
        assert depth.shape == (64, 96)
        stored = resize_photo((depth * 255).astype(np.uint8)[..., None].repeat(3, 2), expected.shape)[..., 0] / 255
        assert np.abs(stored - expected).mean() < 0.05


@pytest.mark.slow
def test_decoding_beside_the_teachers_or_in_them_gives_the_same_depths(
    prepared: Path, teacher: str, tmp_path: Path, run: Run, rows_of: RowsOf
) -> None:
    found = []
    for where in ("tasks", "actors"):
        shutil.copytree(prepared, tmp_path / where)
        run(teacher=teacher, data=str(tmp_path / where), decode_in=where)
        found.append({id: row["depth"] for id, row in rows_of(tmp_path / where).items()})
    assert found[0] == found[1]


@pytest.mark.slow
def test_running_again_repeats_nothing(prepared: Path, teacher: str, run: Run) -> None:
    first = run(teacher=teacher, data=str(prepared))
    files, dataset = files_of(first.folder), read_info(prepared)
    again = run(teacher=teacher, data=str(prepared))
    assert (again.ok, again.skipped, again.photos_per_s) == (PHOTOS, PHOTOS, 0)
    assert files_of(again.folder) == files
    assert read_info(prepared) == dataset


@pytest.mark.slow
def test_changed_weights_teach_anew(
    prepared: Path, teacher: str, tiny_depth_model: Path, tmp_path: Path, run: Run, rows_of: RowsOf
) -> None:
    first = run(teacher=teacher, data=str(prepared))
    network, card = load_checkpoint(tiny_depth_model)
    network.get_parameter("depth_fusion.weight").data.neg_()
    save_checkpoint(tmp_path / "other", network, card)
    other = run(teacher=f"self:{tmp_path / 'other'}", data=str(prepared))
    assert other.teacher != first.teacher
    assert (other.ok, other.skipped) == (PHOTOS, 0)
    assert {row["depth_teacher"] for row in rows_of(prepared).values()} == {other.teacher}
    assert len(files_of(first.folder)) > 0, "the first teacher's depths are still there to go back to"
    back = run(teacher=teacher, data=str(prepared))
    assert back.skipped == PHOTOS
    assert {row["depth_teacher"] for row in rows_of(prepared).values()} == {first.teacher}


@pytest.mark.slow
def test_only_a_photo_that_changed_is_looked_at_again(prepared: Path, labelled: Path, teacher: str, run: Run) -> None:
    run(teacher=teacher, data=str(prepared))
    changed = sorted((labelled / "image").iterdir())[3]
    Image.open(changed).rotate(180).save(changed, quality=95)
    prepare_from(PrepareConfig(root=str(labelled), out=str(prepared), size=(64, 96)))
    assert read_info(prepared).depth_rows == 0
    report = run(teacher=teacher, data=str(prepared))
    assert (report.ok, report.skipped) == (PHOTOS, PHOTOS - 1)
    assert read_info(prepared).depth_rows == PHOTOS


@pytest.mark.slow
def test_without_their_originals_the_prepared_pictures_can_be_taught(
    prepared: Path, labelled: Path, teacher: str, run: Run
) -> None:
    shutil.rmtree(labelled)
    report = run(teacher=teacher, data=str(prepared), pictures="prepared")
    assert (report.ok, report.errors) == (PHOTOS, {})
    assert report.teacher.endswith("+prepared"), "other pictures give other depths"


@pytest.mark.slow
def test_true_depths_of_rendered_scenes_are_kept(teacher: str, tmp_path: Path, run: Run, rows_of: RowsOf) -> None:
    scenes = tmp_path / "scenes"
    prepare_from(PrepareConfig(scenes=4, out=str(scenes), size=(64, 64), validation_fraction=0))
    before = rows_of(scenes)
    report = run(teacher=teacher, data=str(scenes))
    assert (report.ok, report.kept) == (0, 4)
    assert rows_of(scenes) == before


def test_a_folder_of_photos_is_taught_in_the_shape_of_each(
    labelled: Path, teacher: str, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "depths"
    report = run(teacher=teacher, photos=str(labelled / "image"), out=str(out))
    assert report.ok == PHOTOS
    found = read_committed(report.folder)
    for name in set(found.files.values()):
        for row in read_file(report.folder, name).to_pylist():
            native = decode_photo((labelled / "image" / row["id"]).read_bytes()).shape
            depth = decode_depth(row["depth"])
            assert max(depth.shape) == min(640, max(native))
            assert depth.shape[0] / depth.shape[1] == pytest.approx(native[0] / native[1], rel=0.01)


@pytest.mark.slow
def test_a_manifest_on_s3_is_taught_to_s3(s3: str, labelled: Path, teacher: str, run: Run) -> None:
    client, bucket = boto3.client("s3"), s3.removeprefix("s3://")
    uris = []
    for photo in sorted((labelled / "image").iterdir())[:4]:
        client.put_object(Bucket=bucket, Key=f"photos/{photo.name}", Body=photo.read_bytes())
        uris.append(f"{s3}/photos/{photo.name}")
    stream = io.BytesIO()
    pq.write_table(pa.table({"id": ["a", "b", "c", "d", "e"], "uri": [*uris, f"{s3}/photos/gone.jpg"]}), stream)
    client.put_object(Bucket=bucket, Key="photos.parquet", Body=stream.getvalue())
    settings = {"teacher": teacher, "photos": f"{s3}/photos.parquet", "out": f"{s3}/depths", "size": (64, 64)}
    report = run(**settings)
    assert (report.ok, report.errors) == (4, {"unreadable": 1})
    assert {key[0] for key in read_committed(report.folder).files} == {"a", "b", "c", "d"}
    assert run(**settings).skipped == 5
    sheet = client.get_object(Bucket=bucket, Key=f"{report.folder.removeprefix(f'{s3}/')}/contact-sheet.png")
    assert Image.open(io.BytesIO(sheet["Body"].read())).width > 500


@pytest.mark.slow
def test_a_prepared_dataset_on_s3_is_taught_there(
    s3: str, labelled: Path, teacher: str, tmp_path: Path, run: Run
) -> None:
    data = f"{s3}/{tmp_path.name}/"
    prepare_from(PrepareConfig(root=str(labelled), out=data, size=(64, 64)))
    report = run(teacher=teacher, data=data)
    assert (report.ok, read_info(data).depth_rows) == (PHOTOS, PHOTOS)
    assert run(teacher=teacher, data=data).skipped == PHOTOS


def test_what_a_run_did_is_in_mlflow_and_beside_the_depths(
    prepared: Path, tiny_depth_model: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_depth_model.parent)  # actors run in another folder
    report = run(teacher=f"self:{tiny_depth_model.name}", data=str(prepared), actors=2)
    summary = json.loads((Path(report.folder) / "summary.json").read_text())
    assert summary["ok"] == PHOTOS
    assert sum(photos for photos, _ in summary["actors"].values()) == PHOTOS
    assert sum(summary["time_shares"].values()) == pytest.approx(1)
    assert "DepthPredictor" in (Path(report.folder) / "stats.txt").read_text()
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'runs'}/mlflow.db")
    logged = client.get_run(report.run_id)
    assert logged.info.status == "FINISHED"
    assert logged.data.metrics["ok"] == PHOTOS
    assert logged.data.params["teacher"] == f"self:{tiny_depth_model}"
    assert {file.path for file in client.list_artifacts(report.run_id)} == {
        "contact-sheet.png", "summary.json", "stats.txt",
    }  # fmt: skip
