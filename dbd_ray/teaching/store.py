"""Depths on storage: one folder per teacher, one Parquet file per commit, written in one step.

The name of a file is a hash of the keys in it, so that a repeated task replaces its file instead of adding another.
"""

import hashlib
import io
import json
import re
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from dbd_ray.errors import DatasetError
from dbd_ray.storage import UNREACHABLE, list_folder, open_storage, replace_bytes

TEACHER_FILE = "teacher.json"
ROWS_PER_FILE = 64  # the most photos that a killed run repeats for each task that was running

DEPTH_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),  # of the prepared picture; empty where there is none
        pa.field("depth", pa.binary()),  # 16-bit PNG; null where `reason` says why
        pa.field("reason", pa.string()),
        pa.field("message", pa.string()),
        pa.field("depth_teacher", pa.string(), nullable=False),  # name@fingerprint
    ]
)

Key = tuple[str, str]  # (id, digest)


class Committed(NamedTuple):
    """The content of a teacher's folder of depths.

    Attributes:
        files: Name of the file that holds the depth, by key of the photo.
        failed: (reason, message) by key, for photos without a depth.
    """

    files: dict[Key, str]
    failed: dict[Key, tuple[str, str]]


def teacher_folder(root: str, key: str, size: tuple[int, int] | None) -> str:
    """Folder of one teacher's depths of one size.

    Args:
        root: Folder that holds the teachers' folders.
        key: name@fingerprint, which becomes part of the folder's name.
        size: (height, width) of the depths, px; None: each photo's own.
    """
    safe = re.sub(r"[^A-Za-z0-9@._-]+", "-", key)
    return f"{root}/{safe}-{f'{size[0]}x{size[1]}' if size else 'native'}"


def claim_folder(folder: str, teacher: str) -> None:
    """Write the teacher's name@fingerprint into its folder; shows before any work whether the folder can be written.

    Raises:
        DatasetError: The storage cannot be written.
    """
    _write(f"{folder}/{TEACHER_FILE}", json.dumps({"depth_teacher": teacher}).encode())


def commit(folder: str, rows: pa.Table) -> str:
    """Write rows of `DEPTH_SCHEMA` as one file, in one step; returns its name.

    Raises:
        DatasetError: The storage cannot be written.
    """
    keys = sorted(zip(rows["id"].to_pylist(), rows["digest"].to_pylist(), strict=True))
    name = f"depth-{hashlib.sha256(repr(keys).encode()).hexdigest()[:24]}.parquet"
    stream = io.BytesIO()
    pq.write_table(rows.cast(DEPTH_SCHEMA), stream, compression="none")  # PNG does not shrink further
    _write(f"{folder}/{name}", stream.getvalue())
    return name


def read_committed(folder: str) -> Committed:
    """List the rows in a teacher's folder, without reading the depths.

    Raises:
        DatasetError: A file is damaged; names it.
    """
    found = Committed({}, {})
    for name in _files(folder):
        for row in read_file(folder, name, columns=["id", "digest", "reason", "message"]).to_pylist():
            if row["reason"] is None:
                found.files[row["id"], row["digest"]] = name
            else:
                found.failed[row["id"], row["digest"]] = (row["reason"], row["message"] or "")
    for key in found.files:  # taught again with success
        found.failed.pop(key, None)
    return found


def drop_superseded(folder: str) -> Committed:
    """Remove rows of failures that a later row has replaced, so that every photo has one row again.

    After a crash on the way some photos have two rows, which `read_committed` allows for and the next call removes.
    """
    owners: dict[Key, str] = {}
    held: dict[str, list[Key]] = {}
    for name in _files(folder):
        for row in read_file(folder, name, columns=["id", "digest", "reason"]).to_pylist():
            key = (row["id"], row["digest"])
            held.setdefault(name, []).append(key)
            if row["reason"] is None or key not in owners:
                owners[key] = name
    storage, path = open_storage(folder)
    for name, keys in held.items():
        kept = [owners[key] == name for key in keys]
        if not all(kept):
            if any(kept):
                commit(folder, read_file(folder, name).filter(pa.array(kept)))
            storage.rm_file(f"{path}/{name}")
    return read_committed(folder)


def read_file(folder: str, name: str, *, columns: list[str] | None = None) -> pa.Table:
    """Read one committed file.

    Raises:
        DatasetError: It is damaged or gone.
    """
    storage, path = open_storage(folder)
    try:
        with storage.open(f"{path}/{name}", "rb") as file:
            parquet = pq.ParquetFile(file)
            former = "detail" in parquet.schema_arrow.names  # of the version before
            wanted = columns and ["detail" if former and name == "message" else name for name in columns]
            table = parquet.read(columns=wanted)
            return table.rename_columns(["message" if name == "detail" else name for name in table.column_names])
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(folder, [f"{name} is damaged, delete it and teach again: {error}"]) from None


def read_depths(folder: str, keys: dict[Key, str]) -> Iterator[tuple[Key, bytes, str]]:
    """Read chosen depths.

    Args:
        folder: A teacher's folder of depths.
        keys: Name of the file by key of each wanted row, from `read_committed`.

    Yields:
        Key, depth as 16-bit PNG, and the value of `depth_teacher`.
    """
    for name in sorted(set(keys.values())):
        for row in read_file(folder, name, columns=["id", "digest", "depth", "depth_teacher"]).to_pylist():
            key = (row["id"], row["digest"])
            if keys.get(key) == name:
                yield key, row["depth"], row["depth_teacher"]


def _write(location: str, content: bytes) -> None:
    try:
        replace_bytes(location, content)
    except OSError as error:
        raise DatasetError(location, [f"cannot be written, {UNREACHABLE}: {error}"]) from None


def _files(folder: str) -> list[str]:
    storage, path = open_storage(folder)
    entries = list_folder(storage, path) or []
    return [name for name, is_folder in entries if not is_folder and re.fullmatch(r"depth-[0-9a-f]{24}\.parquet", name)]
