"""Rows of a Ray Dataset replace a prepared dataset as a whole, or not at all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import ray.data
import ray.exceptions

from dbd_ray.datasets.prepared import SCHEMA, image_digest, parts_uri, read_info, read_rows
from dbd_ray.datasets.write_prepared import write_prepared
from dbd_ray.errors import DatasetError
from dbd_ray.images.encode import encode_depth, encode_mask, encode_photo
from dbd_ray.training.cached_rows import read_split

pytestmark = [pytest.mark.ray, pytest.mark.workers, pytest.mark.usefixtures("local_ray")]
SIZE = (32, 48)
LATER = ("uri", "digest")


def _row(index: int, **columns: Any) -> dict[str, Any]:
    pixels = np.random.default_rng(index).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    return {
        "id": f"p{index}",
        "split": "val" if index == 0 else "train",
        "source": "cuhk",
        "width": SIZE[1],
        "height": SIZE[0],
        "image": encode_photo(pixels),
        "mask": encode_mask(pixels[..., 0] > 127),
        "depth": None,
        "depth_teacher": None,
        "uri": f"/photos/p{index}.jpg",
        "digest": None,
        **columns,
    }


def _dataset(rows: list[dict[str, Any]], *, without: tuple[str, ...] = ()) -> ray.data.Dataset:
    return ray.data.from_arrow(pa.Table.from_pylist(rows, schema=SCHEMA).drop_columns(list(without)))


def _with_depth(table: pa.Table) -> pa.Table:
    depths = [encode_depth(np.full(SIZE, int(name[1:]) / 10, np.float32)) for name in table["id"].to_pylist()]
    for name, values in (("depth", depths), ("depth_teacher", ["a-teacher@1"] * len(table))):
        table = table.drop_columns([name]).append_column(name, pa.array(values))
    return table


def _named(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_rows_become_a_dataset_that_counts_what_was_written(tmp_path: Path) -> None:
    rows = [_row(0, depth=b"depth", depth_teacher="t@1"), _row(1), _row(2, source="dut")]
    info = write_prepared(_dataset(rows), tmp_path, input_size=SIZE)
    assert info == read_info(tmp_path)
    assert (info.rows, info.sources, info.depth_rows) == ({"val": 1, "train": 2}, {"cuhk": 2, "dut": 1}, 1)
    assert info.image_bytes == sum(len(row["image"]) + len(row["mask"]) for row in rows) + len(b"depth")
    assert info.input_size == SIZE
    assert read_rows(tmp_path, "val")["uri"].to_pylist() == ["/photos/p0.jpg"]
    table = read_rows(tmp_path, "train")
    assert table["digest"].to_pylist() == [image_digest(image) for image in table["image"].to_pylist()]


def test_a_dataset_lies_in_a_folder_of_any_name(tmp_path: Path) -> None:
    name = "what? 50%2F [a] #1; 'b' é"
    for count in (3, 4):
        info = write_prepared(_dataset([_row(index) for index in range(count)]), tmp_path / name, input_size=SIZE)
        assert info.rows == {"val": 1, "train": count - 1}
    assert _named(tmp_path) == {name}
    assert _named(tmp_path / name) == {"dataset.json", info.parts}
    assert read_rows(tmp_path / name, "train").num_rows == read_split((str(tmp_path / name),), "train").count() == 3


def test_a_dataset_is_replaced_by_its_own_rows_with_depths_filled_in(tmp_path: Path) -> None:
    old = write_prepared(_dataset([_row(index) for index in range(4)]), tmp_path, input_size=SIZE)
    rows = ray.data.read_parquet(parts_uri(tmp_path, old)).map_batches(_with_depth, batch_format="pyarrow")
    new = write_prepared(rows, tmp_path, input_size=SIZE)
    assert (old.depth_rows, new.depth_rows) == (0, 4)
    assert new.rows == old.rows
    assert new.fingerprint != old.fingerprint, "a run must not go on with other depths"
    assert set(read_rows(tmp_path, "train")["depth_teacher"].to_pylist()) == {"a-teacher@1"}
    assert _named(tmp_path) == {"dataset.json", new.parts}


def test_where_photos_lay_is_no_part_of_what_a_dataset_is(tmp_path: Path) -> None:
    here = write_prepared(_dataset([_row(0), _row(1)]), tmp_path / "here", input_size=SIZE)
    there = write_prepared(_dataset([_row(1, uri="s3://b/p1"), _row(0, uri=None)]), tmp_path / "there", input_size=SIZE)
    assert here.fingerprint == there.fingerprint


def test_rows_prepared_before_there_were_places_and_digests_are_taken(tmp_path: Path) -> None:
    rows = [_row(0), _row(1)]
    write_prepared(_dataset(rows, without=LATER), tmp_path, input_size=SIZE)
    for split, row in (("val", rows[0]), ("train", rows[1])):
        assert read_rows(tmp_path, split).to_pylist() == [  # type: ignore[arg-type]
            {**row, "uri": None, "digest": image_digest(row["image"])}
        ]


def test_only_the_replaced_datasets_files_are_removed_whatever_the_folder_is_called(tmp_path: Path) -> None:
    out = tmp_path / "a set [1] *"
    for name in ("parts-of-mine", "parts-0123456789ab", "parts"):  # the second may be another one's, in the making
        (out / name).mkdir(parents=True)
        (out / name / "file").write_text("precious")
    old = write_prepared(_dataset([_row(0)]), out, input_size=SIZE)
    new = write_prepared(_dataset([_row(0), _row(1)]), out, input_size=SIZE)
    assert old.parts != new.parts
    assert _named(out) == {"dataset.json", new.parts, "parts-of-mine", "parts-0123456789ab", "parts"}
    assert len(read_rows(out, "train")) == 1


def test_a_dataset_json_that_points_elsewhere_removes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    info = write_prepared(_dataset([_row(0)]), out, input_size=SIZE)
    (tmp_path / "precious").mkdir()
    told = {**json.loads((out / "dataset.json").read_text()), "parts": "../precious"}
    (out / "dataset.json").write_text(json.dumps(told))
    new = write_prepared(_dataset([_row(0)]), out, input_size=SIZE)
    assert _named(tmp_path) == {"out", "precious"}
    assert _named(out) == {"dataset.json", info.parts, new.parts}


def test_rows_that_cannot_all_be_made_leave_the_old_dataset_and_nothing_else(tmp_path: Path) -> None:
    old = write_prepared(_dataset([_row(index) for index in range(3)]), tmp_path, input_size=SIZE)

    def fails(table: pa.Table) -> pa.Table:
        raise RuntimeError("the teacher is ill")

    rows = ray.data.read_parquet(parts_uri(tmp_path, old)).map_batches(fails, batch_format="pyarrow")
    with pytest.raises(ray.exceptions.RayTaskError, match="the teacher is ill"):
        write_prepared(rows, tmp_path, input_size=SIZE)
    assert read_info(tmp_path) == old
    assert _named(tmp_path) == {"dataset.json", old.parts}
    assert pq.read_table(tmp_path / old.parts).num_rows == 3


def test_storage_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (str(tmp_path / "file" / "set"), "nowhere://bucket/set", "memory://workers-have-their-own/set"):
        with pytest.raises(DatasetError, match=r"cannot be (written|opened)") as error:
            write_prepared(_dataset([_row(0)]), out, input_size=SIZE)
        assert error.value.where.startswith(out)
