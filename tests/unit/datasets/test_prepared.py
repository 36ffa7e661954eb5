import json
import resource
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dbd_ray.datasets.prepared import (
    SCHEMA,
    PreparedInfo,
    common_input_size,
    image_digest,
    parts_uri,
    read_info,
    read_rows,
    require_place,
    require_rows,
    write_info,
)
from dbd_ray.errors import DatasetError
from dbd_ray.storage import as_uri, replace_text


def _info(**fields: Any) -> PreparedInfo:
    given = {"parts": "parts-1", "input_size": (4, 6), "rows": {"train": 3, "val": 1}, "sources": {"cuhk": 4}}
    return PreparedInfo(**{**given, "depth_rows": 1, "image_bytes": 9, "fingerprint": "abc", **fields})


def _table() -> pa.Table:
    ids = ["d", "a", "c", "b"]
    return pa.table(
        {
            "id": ids,
            "split": ["train", "train", "val", "train"],
            "source": ["cuhk"] * 4,
            "width": [6] * 4,
            "height": [4] * 4,
            "image": [f"image {one}".encode() for one in ids],
            "mask": [b"mask"] * 4,
            "depth": [None, b"depth", None, None],
            "depth_teacher": [None, "teacher@1", None, None],
            "uri": [f"/photos/{one}.jpg" for one in ids],
            "digest": [image_digest(f"image {one}".encode()) for one in ids],
        },
        schema=SCHEMA,
    )


def _write(location: str, info: PreparedInfo, *, without: Sequence[str] = ()) -> str:
    filesystem, root = fsspec.core.url_to_fs(f"{location}/{info.parts}")
    filesystem.makedirs(root, exist_ok=True)
    table = _table().drop_columns(list(without))
    for number in range(2):
        with filesystem.open(f"{root}/{number}.parquet", "wb") as file:
            pq.write_table(table.slice(2 * number, 2), file)
    write_info(location, info)
    return location


@pytest.fixture(params=["local", "memory"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    where = str(tmp_path / "a set") if request.param == "local" else f"memory://{uuid.uuid4().hex}/set"
    return _write(where, _info())


def test_what_was_written_is_read_back(dataset: str) -> None:
    assert read_info(dataset) == _info()


def test_a_split_comes_in_the_order_of_ids_from_all_files(dataset: str) -> None:
    table = read_rows(dataset, "train")
    assert table["id"].to_pylist() == ["a", "b", "d"]
    assert table["image"].to_pylist() == [b"image a", b"image b", b"image d"]
    assert table["depth"].to_pylist() == [b"depth", None, None]
    assert table.schema.names == SCHEMA.names
    assert read_rows(dataset, "val")["id"].to_pylist() == ["c"]


def test_columns_come_as_asked_for_and_still_in_the_order_of_ids(dataset: str) -> None:
    table = read_rows(dataset, "train", columns=["image", "width"])
    assert table.column_names == ["image", "width"]
    assert table["image"].to_pylist() == [b"image a", b"image b", b"image d"]


def test_a_split_without_rows_is_an_empty_table(dataset: str) -> None:
    table = read_rows(dataset, "test")
    assert (len(table), table.schema.names) == (0, SCHEMA.names)


def test_a_folder_that_is_no_prepared_dataset_says_how_to_make_one(tmp_path: Path) -> None:
    for where in (tmp_path, tmp_path / "absent", "memory://absent"):
        with pytest.raises(DatasetError, match=r"dataset\.json is missing: .*dbd-ray prepare") as error:
            read_info(where)
        assert str(where) in str(error.value)
        with pytest.raises(DatasetError, match=r"dataset\.json is missing"):
            read_rows(where, "train")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        json.dumps({"parts": "p"}).encode(),
        json.dumps({**_info().model_dump(), "format_version": 2}).encode(),
        json.dumps({**_info().model_dump(), "unknown": 1}).encode(),
        # the folder that it names is removed when the dataset is replaced
        *(json.dumps({**_info().model_dump(), "parts": parts}).encode() for parts in ("", ".", "..", "/", "parts-/..")),
    ],
)
def test_an_unreadable_or_foreign_dataset_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dataset.json").write_bytes(content)
    with pytest.raises(DatasetError, match=r"dataset\.json is not readable by this version, prepare again") as error:
        read_info(tmp_path)
    assert error.value.where == str(tmp_path)


def test_a_file_in_the_datasets_place_and_an_unknown_storage_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for where in (str(tmp_path / "file"), "nowhere://bucket/set"):
        for reads in (read_info, lambda there: read_rows(there, "train")):
            with pytest.raises(DatasetError, match=r"storage cannot be (read|opened)") as error:
                reads(where)
            assert error.value.where == where


def test_missing_and_damaged_parquet_files_are_named(tmp_path: Path) -> None:
    info = _info()
    where = Path(_write(str(tmp_path), info))
    part = where / info.parts / "0.parquet"
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"Parquet files in parts-1/ are missing or damaged, prepare again"):
        read_rows(where, "train")
    shutil.rmtree(where / info.parts)
    with pytest.raises(DatasetError, match=r"Parquet files in parts-1/ are missing or damaged, prepare again"):
        read_rows(where, "train")


def test_a_parquet_file_too_few_is_no_smaller_dataset(dataset: str) -> None:
    filesystem, root = fsspec.core.url_to_fs(f"{dataset}/parts-1")
    filesystem.rm(f"{root}/1.parquet")  # a training and a validation row
    for split, said in (("train", "2 of 3 rows of split 'train' found"), ("val", "0 of 1 rows of split 'val' found")):
        with pytest.raises(DatasetError, match=f"missing or damaged, prepare again: {said}") as error:
            read_rows(dataset, split)  # type: ignore[arg-type]
        assert error.value.where == dataset


def test_a_parquet_file_too_many_is_no_larger_dataset(dataset: str) -> None:
    filesystem, root = fsspec.core.url_to_fs(f"{dataset}/parts-1")
    filesystem.copy(f"{root}/0.parquet", f"{root}/2.parquet")
    with pytest.raises(DatasetError, match="5 of 3 rows of split 'train' found"):
        read_rows(dataset, "train")


def test_readers_of_their_own_can_have_their_count_checked(tmp_path: Path) -> None:
    require_rows(tmp_path, _info(), "train", 3)
    require_rows(tmp_path, _info(), "test", 0)
    with pytest.raises(DatasetError, match="2 of 3 rows") as error:
        require_rows(tmp_path, _info(), "train", 2)
    assert error.value.where == str(tmp_path)


def test_datasets_without_the_columns_that_came_later_are_read_with_nulls(tmp_path: Path) -> None:
    where = _write(str(tmp_path), _info(), without=["uri", "digest"])
    table = read_rows(where, "train")
    assert table.schema.names == SCHEMA.names
    assert table["image"].to_pylist() == [b"image a", b"image b", b"image d"]
    assert table["uri"].to_pylist() == table["digest"].to_pylist() == [None] * 3


def test_a_dataset_is_replaced_in_one_step(dataset: str) -> None:
    newer = _info(parts="parts-2", fingerprint="def")
    _write(dataset, newer)
    assert read_info(dataset) == newer
    filesystem, root = fsspec.core.url_to_fs(dataset)
    assert sorted(Path(path).name for path in filesystem.ls(root, detail=False)) == [
        "dataset.json",
        "parts-1",
        "parts-2",
    ]


def test_a_replacement_that_cannot_be_finished_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_info(str(tmp_path), _info())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # as on a disk that fills up in the middle
    try:
        with pytest.raises(DatasetError, match=r"dataset\.json cannot be written"):
            write_info(str(tmp_path), _info(parts="parts-2"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_info(tmp_path) == _info()
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.json"]


def test_a_reader_during_replacements_never_sees_half_a_file(tmp_path: Path) -> None:
    # an open file stays the old one: replacing swaps the name, it does not write into what is being read
    write_info(str(tmp_path), _info())
    with (tmp_path / "dataset.json").open() as reading:
        write_info(str(tmp_path), _info(parts="parts-2"))
        assert PreparedInfo.model_validate(json.load(reading)) == _info()


def test_replacing_makes_the_folder(tmp_path: Path) -> None:
    replace_text(f"{tmp_path}/a/b/c.txt", "text")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "text"
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["c.txt"]


def test_local_paths_become_absolute_and_uris_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert as_uri("runs/set") == str(tmp_path / "runs" / "set")
    assert as_uri(Path("runs")) == str(tmp_path / "runs")
    assert as_uri(f"file://{tmp_path}/set") == str(tmp_path / "set")
    assert as_uri("s3://bucket/set") == "s3://bucket/set"
    assert parts_uri("runs/set", _info()) == str(tmp_path / "runs" / "set" / "parts-1")


def test_datasets_of_one_size_agree_and_others_are_listed(tmp_path: Path) -> None:
    sizes = {"one": (4, 6), "two": (4, 6), "three": (8, 8)}
    for name, size in sizes.items():
        write_info(str(tmp_path / name), _info(input_size=size))
    one, two, three = (str(tmp_path / name) for name in sizes)
    assert common_input_size([one, two]) == (4, 6)
    with pytest.raises(DatasetError) as error:
        common_input_size([one, three])
    assert len(error.value.problems) == 2
    assert "prepared at (8, 8): prepare all at one --size" in str(error.value)


@pytest.mark.parametrize("content", ['{"images": []}', "null", "[]", "no JSON", "[" * 100_000])
def test_a_dataset_json_of_another_program_is_not_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(DatasetError, match="is no prepared dataset's, and would be lost: choose another folder"):
        require_place(tmp_path)
    assert (tmp_path / "dataset.json").read_text() == content


def test_a_place_is_free_or_holds_a_dataset_of_any_version(tmp_path: Path) -> None:
    require_place(tmp_path / "new")
    write_info(str(tmp_path), _info())
    require_place(tmp_path)
    replace_text(tmp_path / "dataset.json", json.dumps(_info().model_dump() | {"format_version": 99}))
    require_place(tmp_path)
