"""Depths on storage: one folder per teacher, one Parquet file per commit, each there wholly or not at all.

A file's name is a hash of the rows in it, so that a repeated task replaces its file instead of adding a second one.
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
ROWS_PER_FILE = 64  # the most that a killed run repeats, for every task at work

DEPTH_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),  # of the prepared picture; empty where there is none
        pa.field("depth", pa.binary()),  # 16-bit PNG; null where `reason` says why
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("depth_teacher", pa.string(), nullable=False),  # name@fingerprint
    ]
)

Key = tuple[str, str]  # (id, digest)


class Committed(NamedTuple):
    """What a teacher's folder holds.

    Attributes:
        files: File name of every row that has a depth.
        failed: (reason, detail) of every row that has none.
    """

    files: dict[Key, str]
    failed: dict[Key, tuple[str, str]]


def teacher_folder(root: str, key: str, size: tuple[int, int] | None) -> str:
    """Where one teacher's depths of one size lie; its key (name@fingerprint) is part of the name."""
    safe = re.sub(r"[^A-Za-z0-9@._-]+", "-", key)
    return f"{root}/{safe}-{f'{size[0]}x{size[1]}' if size else 'native'}"


def claim_folder(folder: str, teacher: str) -> None:
    """Write whose depths a folder holds, which shows before any work that it can be written.

    Raises:
        DatasetError: It cannot.
    """
    _write(f"{folder}/{TEACHER_FILE}", json.dumps({"depth_teacher": teacher}).encode())


def commit(folder: str, rows: pa.Table) -> str:
    """Write rows as one file, in one step; returns the file's name.

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
    """Read which rows a teacher's folder holds, without their depths.

    Raises:
        DatasetError: A file is damaged; names it.
    """
    found = Committed({}, {})
    for name in _files(folder):
        for row in read_file(folder, name, columns=["id", "digest", "reason", "detail"]).to_pylist():
            if row["reason"] is None:
                found.files[row["id"], row["digest"]] = name
            else:
                found.failed[row["id"], row["digest"]] = (row["reason"], row["detail"] or "")
    for key in found.files:  # looked at again and found good
        found.failed.pop(key, None)
    return found


def drop_superseded(folder: str) -> Committed:
    """Rewrite the files that hold rows of an earlier failure, so that every photo has one row again.

    A crash on the way leaves rows twice, which `read_committed` sees through and the next call mends.
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
            return pq.read_table(file, columns=columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(folder, [f"{name} is damaged, delete it and teach again: {error}"]) from None


def read_depths(folder: str, keys: dict[Key, str]) -> Iterator[tuple[Key, bytes, str]]:
    """Read chosen depths.

    Args:
        folder: A teacher's folder.
        keys: File of each wanted row, from `read_committed`.

    Yields:
        Key, 16-bit PNG, and the teacher's name@fingerprint.
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
