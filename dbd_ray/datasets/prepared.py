"""Prepared datasets: what they look like on storage, and reading them without Ray.

A prepared dataset is a folder (any fsspec URI) with one `dataset.json` and one folder of Parquet
parts that it names. `dataset.json` is written last and replaced in one step, so a reader sees
either the old dataset or the new one.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from dbd_ray.config import Settings
from dbd_ray.datasets.layouts import Split
from dbd_ray.errors import DatasetError

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("image", pa.binary(), nullable=False),
        pa.field("mask", pa.binary(), nullable=False),
        pa.field("depth", pa.binary()),
        pa.field("depth_teacher", pa.string()),
    ]
)

RENDERED_SOURCE = "rendered"


class PreparedInfo(Settings):
    """What `dataset.json` says of a prepared dataset.

    Attributes:
        parts: Folder of the Parquet files, relative to the dataset.
        input_size: (height, width) of every picture and mask.
        rows: Number of rows by split.
        sources: Number of rows by source.
        depth_rows: How many rows carry a depth map.
        image_bytes: Encoded size of all pictures, masks and depths together.
        fingerprint: sha256 over ids, splits, pictures, masks and depths, independent of order and of files.
    """

    format_version: Literal[1] = 1
    parts: str
    input_size: tuple[int, int]
    rows: dict[str, int]
    sources: dict[str, int]
    depth_rows: int
    image_bytes: int
    fingerprint: str


def as_uri(location: str | Path) -> str:
    """Make a local path absolute (Ray workers run in another folder); leave a URI as it is."""
    text = str(location)
    return text if urlsplit(text).scheme not in ("", "file") else str(Path(text.removeprefix("file://")).absolute())


def read_info(location: str | Path) -> PreparedInfo:
    """Read what a prepared dataset holds, without touching its pictures.

    Raises:
        DatasetError: There is no prepared dataset, or it was written by another version.
    """
    where = as_uri(location)
    try:
        with fsspec.open(f"{where}/dataset.json", "rt") as file:
            return PreparedInfo.model_validate(json.load(file))
    except FileNotFoundError:
        raise DatasetError(
            where, ["dataset.json is missing: not a prepared dataset; make one with `dbd-ray prepare`"]
        ) from None
    except (ValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(where, [f"dataset.json is not readable by this version, prepare again: {error}"]) from None
    except (OSError, ValueError, ImportError) as error:
        raise DatasetError(where, [f"this storage cannot be read: {error}"]) from None


def write_info(location: str, info: PreparedInfo) -> None:
    """Publish a dataset: replace its `dataset.json` in one step."""
    replace_text(f"{location}/dataset.json", info.model_dump_json(indent=2))


def replace_text(location: str, text: str) -> None:
    """Write a small file so that a reader sees either the old content or the new; its folder is made if need be."""
    filesystem, path = fsspec.core.url_to_fs(location)
    if "file" in (filesystem.protocol if isinstance(filesystem.protocol, tuple) else (filesystem.protocol,)):
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(target.name + ".new")
        temporary.write_text(text)
        temporary.replace(target)
    else:  # object stores publish an object only when it is complete
        with filesystem.open(path, "wt") as file:
            file.write(text)


def parts_uri(location: str | Path, info: PreparedInfo) -> str:
    """Where the Parquet files of a prepared dataset lie."""
    return f"{as_uri(location)}/{info.parts}"


def read_rows(location: str | Path, split: Split, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one split into memory, without Ray.

    Args:
        location: Folder or URI of a prepared dataset.
        split: "train", "val" or "test".
        columns: Which columns; all by default.

    Returns:
        A table in the order of ids (see `SCHEMA`), so that seeds mean the same everywhere.

    Raises:
        DatasetError: There is no prepared dataset, or its Parquet files are missing or damaged.
    """
    info = read_info(location)
    filesystem, root = fsspec.core.url_to_fs(parts_uri(location, info))
    wanted = list(columns) if columns else SCHEMA.names
    try:
        table = pq.read_table(
            root,
            filesystem=filesystem,
            filters=[("split", "=", split)],
            schema=SCHEMA,
            columns=list(dict.fromkeys([*wanted, "id"])),
        )
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(
            as_uri(location), [f"its Parquet files in {info.parts}/ are missing or damaged, prepare again: {error}"]
        ) from None
    return table.sort_by("id").select(wanted)


def common_input_size(locations: Sequence[str]) -> tuple[int, int]:
    """The (height, width) that all these datasets were prepared at.

    Raises:
        DatasetError: They differ.
    """
    sizes = {location: read_info(location).input_size for location in locations}
    if len(set(sizes.values())) > 1:
        raise DatasetError(
            ", ".join(locations),
            [f"{location} is prepared at {size}: prepare all at one --size" for location, size in sizes.items()],
        )
    return next(iter(sizes.values()))
