"""Prepared datasets: their format in storage, and reading them without Ray.

A prepared dataset is a folder (any fsspec or pyarrow URI) with one `dataset.json` and one folder of
Parquet parts that it names. `dataset.json` is written last and replaced in one step, so a reader
sees either the old dataset or the new one.

| column | meaning |
|---|---|
| `id`, `split`, `source` | name within the dataset; "train", "val" or "test"; which labelled set, or "rendered" |
| `width`, `height` | size of picture, mask and depth, px |
| `image`, `mask` | the encoded picture; 8-bit PNG, 255 = in focus |
| `depth`, `depth_teacher` | 16-bit PNG, 0 near, 65535 far; name@fingerprint of its depth teacher; null without depth |
| `uri` | absolute path or URI of the original photo; null for rendered scenes |
| `digest` | `image_digest` of `image` |

`uri` and `digest` came later: datasets without these columns are read with nulls in them.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from dbd_ray.config import Settings
from dbd_ray.errors import DatasetError
from dbd_ray.names import Split
from dbd_ray.storage import UNREACHABLE, as_uri, open_arrow_storage, open_storage, replace_text

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
        pa.field("uri", pa.string()),
        pa.field("digest", pa.string()),
    ]
)

RENDERED_SOURCE = "rendered"


class PreparedInfo(Settings):
    """Content of a prepared dataset's `dataset.json`.

    Attributes:
        parts: Folder of the Parquet files, relative to the dataset.
        input_size: (height, width) of every picture and mask.
        rows: Number of rows by split.
        sources: Number of rows by source.
        depth_rows: Number of rows with a depth map.
        image_bytes: Encoded size of all pictures, masks and depths together, bytes.
        fingerprint: sha256 over ids, splits, pictures, masks and depths, independent of order and of files.
    """

    format_version: Literal[1] = 1
    parts: str = Field(pattern=r"^parts-\w+$")  # it is removed with all that is in it when the dataset is replaced
    input_size: tuple[int, int]
    rows: dict[str, int]
    sources: dict[str, int]
    depth_rows: int
    image_bytes: int
    fingerprint: str


def read_info(location: str | Path) -> PreparedInfo:
    """Read a prepared dataset's `dataset.json`.

    Raises:
        DatasetError: There is no prepared dataset, or it was written by another version.
    """
    where = as_uri(location)
    storage, path = open_storage(where)
    try:
        return PreparedInfo.model_validate_json(storage.cat_file(f"{path}/dataset.json"))
    except FileNotFoundError:
        raise DatasetError(
            where, ["dataset.json is missing: not a prepared dataset; make one with `dbd-ray prepare`"]
        ) from None
    except ValidationError as error:
        raise DatasetError(where, [f"dataset.json is not readable by this version, prepare again: {error}"]) from None
    except OSError as error:
        raise DatasetError(where, [f"this storage cannot be read, {UNREACHABLE}: {error}"]) from None


def require_place(location: str | Path) -> None:
    """Check that a prepared dataset may be written to a place: there is none, or it replaces one of any version.

    Raises:
        DatasetError: The place has a `dataset.json` that is no prepared dataset's, or cannot be read.
    """
    where = as_uri(location)
    storage, path = open_storage(where)
    try:
        content = json.loads(storage.cat_file(f"{path}/dataset.json"))
    except (FileNotFoundError, NotADirectoryError):
        return
    except (ValueError, RecursionError):
        content = None
    except OSError as error:
        raise DatasetError(where, [f"this storage cannot be read, {UNREACHABLE}: {error}"]) from None
    if not (isinstance(content, dict) and {"parts", "fingerprint"} <= content.keys()):
        raise DatasetError(
            where, ["dataset.json is no prepared dataset's, and would be lost: choose another folder, or move it"]
        )


def write_info(location: str, info: PreparedInfo) -> None:
    """Replace a dataset's `dataset.json` in one step, after which readers see its new parts.

    Raises:
        DatasetError: It cannot be written.
    """
    try:
        replace_text(f"{location}/dataset.json", info.model_dump_json(indent=2))
    except OSError as error:
        raise DatasetError(location, [f"dataset.json cannot be written, {UNREACHABLE}: {error}"]) from None


def parts_uri(location: str | Path, info: PreparedInfo) -> str:
    """Give the URI of the folder of a prepared dataset's Parquet files."""
    return f"{as_uri(location)}/{info.parts}"


def open_parts(location: str | Path, parts: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """Open the folder of a prepared dataset's Parquet files for Ray Data.

    Returns:
        The file system, and the folder's path on it. On local disks that is the name of the folder alone: Ray Data
        takes a ? in a path for the beginning of a URI's options.
    """
    filesystem, path = open_arrow_storage(str(location))
    if isinstance(filesystem, pyarrow.fs.LocalFileSystem):
        return pyarrow.fs.SubTreeFileSystem(path, filesystem), parts
    return filesystem, f"{path}/{parts}"


def read_rows(location: str | Path, split: Split, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one split into memory, without Ray.

    Args:
        location: Folder or URI of a prepared dataset.
        split: "train", "val" or "test".
        columns: Names of the columns to read; None: all.

    Returns:
        A table in the order of ids (see `SCHEMA`), so that seeds mean the same everywhere.

    Raises:
        DatasetError: There is no prepared dataset, or its Parquet files are missing or damaged.
    """
    info = read_info(location)
    filesystem, root = open_arrow_storage(parts_uri(location, info))
    wanted = list(columns) if columns else SCHEMA.names
    try:
        table = pq.read_table(
            root,
            filesystem=filesystem,
            filters=[("split", "=", split)],
            schema=SCHEMA,
            columns=list(dict.fromkeys([*wanted, "id"])),
        )
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(as_uri(location), [_damaged(info, str(error))]) from None
    require_rows(location, info, split, table.num_rows)
    return table.sort_by("id").select(wanted)


def require_rows(location: str | Path, info: PreparedInfo, split: Split, found: int) -> None:
    """Check that a reader found exactly the rows of a split: readers take whatever Parquet files are there.

    Args:
        location: The prepared dataset.
        info: Content of its `dataset.json`.
        split: "train", "val" or "test".
        found: Number of rows that a reader found in that split.

    Raises:
        DatasetError: Files are missing, or there are some that do not belong there.
    """
    expected = info.rows.get(split, 0)
    if found != expected:
        raise DatasetError(as_uri(location), [_damaged(info, f"{found} of {expected} rows of split {split!r} found")])


def image_digest(image: bytes) -> str:
    """Name an encoded picture by its content: the first 16 hexadecimal digits of its sha256."""
    return hashlib.sha256(image).hexdigest()[:16]


def common_input_size(locations: Sequence[str]) -> tuple[int, int]:
    """Give the (height, width) in pixels that all these datasets were prepared at.

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


def _damaged(info: PreparedInfo, what: str) -> str:
    return f"its Parquet files in {info.parts}/ are missing or damaged, prepare again: {what}"
