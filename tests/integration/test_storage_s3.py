"""Photos, prepared datasets and run folders on S3, through a real S3 server and no package but the project's own."""

import importlib.util
import uuid

import boto3
import cv2
import numpy as np
import pytest

from dbd_ray.config import PrepareConfig, TrainConfig, train_config
from dbd_ray.datasets.labelled import read_layout
from dbd_ray.datasets.prepare import list_photos, prepare_from
from dbd_ray.datasets.prepared import PreparedInfo, parts_uri, read_info, read_rows, write_info
from dbd_ray.errors import ConfigError, DatasetError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_mask, encode_photo
from dbd_ray.storage import open_storage
from dbd_ray.training.run_folder import (
    MODEL_FILES,
    TrainedModel,
    claim_name,
    find_claim,
    model_folder,
    read_result,
    write_result,
)

pytestmark = [pytest.mark.ray, pytest.mark.workers, pytest.mark.usefixtures("local_ray")]
SIZE = (32, 48)


@pytest.fixture
def place(s3: str) -> str:
    """An empty folder of the bucket, of a name that an URI would have to escape."""
    return f"{s3}/{uuid.uuid4().hex[:8]} 100% #1"


def _put(uri: str, content: bytes) -> None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=content)


def _read(uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    content: bytes = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def _keys_below(uri: str) -> set[str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    found = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"{key}/").get("Contents", [])
    return {entry["Key"].removeprefix(f"{key}/") for entry in found} - {""}  # the mark of a folder that was emptied


def _photo(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (64, 96, 3), dtype=np.uint8)


@pytest.fixture
def photos(place: str) -> str:
    """Four labelled photos on S3, one of them for testing."""
    mask = np.zeros((64, 96), np.uint8)
    mask[:, :40] = 255
    for index in range(4):
        _put(f"{place}/photos/image/p {index}.png", encode_photo(_photo(index), format="png"))
        _put(f"{place}/photos/mask/p {index}.png", cv2.imencode(".png", mask)[1].tobytes())
    _put(f"{place}/photos/test.txt", b"p 3.png\n")
    return f"{place}/photos"


def _prepare(photos: str, out: str, **settings: object) -> PrepareConfig:
    given = {"root": photos, "layout": "folder", "polarity": "focus", "out": out, "size": SIZE}
    return PrepareConfig.model_validate({**given, "validation_fraction": 0.34, **settings})


def test_the_package_for_s3_that_the_project_does_not_ask_for_is_absent_here() -> None:
    assert importlib.util.find_spec("s3fs") is None, "these tests would show nothing about installations without it"


def test_labelled_photos_on_s3_become_a_prepared_dataset_on_s3(photos: str, place: str) -> None:
    assert len(read_layout(photos, "folder", polarity="focus")) == 4
    out = f"{place}/prepared"
    info = prepare_from(_prepare(photos, out))
    assert read_info(out) == info
    assert info.rows == {"train": 2, "val": 1, "test": 1}
    rows = [row for split in ("train", "val", "test") for row in read_rows(out, split).to_pylist()]
    for row in rows:
        index = int(row["id"].removeprefix("p "))
        assert row["uri"] == f"{photos}/image/p {index}.png"
        assert decode_photo(_read(row["uri"])).tolist() == _photo(index).tolist()
        assert decode_mask(row["mask"], polarity="focus")[:, 0].min() == 255
    assert sorted(row["id"] for row in rows) == [f"p {index}" for index in range(4)]


def test_preparing_again_replaces_the_dataset_on_s3_and_nothing_else(photos: str, place: str) -> None:
    out = f"{place}/prepared"
    _put(f"{out}/parts-mine/notes.txt", b"not ours")
    old = prepare_from(_prepare(photos, out))
    new = prepare_from(_prepare(photos, out))
    assert new.parts != old.parts
    assert new.fingerprint == old.fingerprint
    assert {key.split("/")[0] for key in _keys_below(out)} == {"dataset.json", "parts-mine", new.parts}
    assert len(read_rows(out, "train")) == 2


def test_scenes_are_cut_from_photos_on_s3(photos: str, place: str) -> None:
    assert len(list_photos(f"{photos}/image")) == 4
    config = PrepareConfig(scenes=2, photos=f"{photos}/image", out=f"{place}/scenes", size=SIZE, seed=1)
    assert prepare_from(config).sources == {"rendered": 2}


def test_a_photo_that_went_away_on_s3_is_a_problem_like_any_other(photos: str, place: str) -> None:
    _put(f"{photos}/image/p 1.png", b"no picture")
    with pytest.raises(DatasetError, match=r"p 1\.png"):
        prepare_from(_prepare(photos, f"{place}/prepared"))
    assert not _keys_below(f"{place}/prepared")


def test_parquet_files_that_went_away_on_s3_are_noticed(photos: str, place: str) -> None:
    out = f"{place}/prepared"
    storage, parts = open_storage(parts_uri(out, prepare_from(_prepare(photos, out))))
    for file in storage.ls(parts, detail=False):
        storage.rm(file)
    with pytest.raises(DatasetError, match="are missing or damaged, prepare again"):
        read_rows(out, "train")


@pytest.mark.parametrize("where", ["s3://no-such-bucket/set", "nowhere://bucket/set"])
def test_a_place_that_does_not_exist_is_an_error_that_names_it(photos: str, where: str) -> None:
    with pytest.raises(DatasetError, match=where.split("/")[2]):
        read_info(where)
    with pytest.raises(DatasetError, match=where.split("/")[2]):
        prepare_from(_prepare(photos, where))
    with pytest.raises(DatasetError, match=where.split("/")[2]):
        prepare_from(_prepare(where, f"{photos}/out"))


def _run(place: str) -> TrainConfig:
    out = f"{place}/prepared"
    counts = {"parts": "parts-1", "input_size": SIZE, "rows": {"train": 8}, "sources": {"cuhk": 8}, "depth_rows": 0}
    write_info(out, PreparedInfo.model_validate({**counts, "image_bytes": 1, "fingerprint": "abc"}))
    return train_config({"name": "run", "data": [out], "storage": f"{place}/runs"}, where="test")


def test_a_run_is_claimed_and_its_result_kept_on_s3(place: str) -> None:
    config = _run(place)
    assert find_claim(config) is None
    claim_name(config, "key")
    assert find_claim(config) == "key"
    with pytest.raises(ConfigError, match=r"exists in .* with other settings"):
        find_claim(config.model_copy(update={"epochs": 99}))
    assert read_result(config) is None
    trained = TrainedModel(model_folder(config), {"mae": 0.1}, [{"mae": 0.1}], "id", "uri")
    write_result(config, trained)
    assert read_result(config) is None, "its model is not there"
    for name in MODEL_FILES:
        _put(f"{model_folder(config)}/{name}", b"content")
    assert read_result(config) == trained


def test_a_run_on_storage_that_cannot_be_used_is_a_wrong_setting(place: str) -> None:
    config = _run(place)
    for storage in ("s3://no-such-bucket/runs", "nowhere://bucket/runs"):
        with pytest.raises(ConfigError, match=f"storage: {storage}"):
            claim_name(config.model_copy(update={"storage": storage}), "key")
