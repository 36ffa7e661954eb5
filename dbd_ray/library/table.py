"""Reading the table of a photo library, and where its photos lie."""

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dbd_ray.errors import DatasetError
from dbd_ray.library.schema import LIBRARY_SCHEMA, TABLE, VERSION, VERSION_KEY, with_new_names
from dbd_ray.storage import UNREACHABLE, as_uri, open_arrow_storage

AGAIN = "run `dbd-ray annotate` again"


def read_library(out: str | Path) -> pa.Table:
    """Read the table of a library, with the columns of `LIBRARY_SCHEMA` alone.

    Args:
        out: Folder or URI of the results, in which the table lies.

    Raises:
        DatasetError: There is no table, it is damaged, or another version wrote it.
    """
    where = f"{as_uri(out)}/{TABLE}"
    storage, folder = open_arrow_storage(str(out) if isinstance(out, str) else as_uri(out))
    try:
        with storage.open_input_file(f"{folder}/{TABLE}") as file:
            table = pq.read_table(file)
    except FileNotFoundError:
        raise DatasetError(where, [f"no such file; give the folder that `dbd-ray annotate` wrote ({TABLE})"]) from None
    except pa.ArrowException as error:
        raise DatasetError(where, [f"is damaged, or no Parquet; {AGAIN}: {_first_line(error)}"]) from None
    except OSError as error:  # pyarrow says so of damaged pages as well
        raise DatasetError(where, [f"cannot be read; {UNREACHABLE}, or {AGAIN}: {_first_line(error)}"]) from None
    return _checked(table, where)


def absolute_path(uri: str, path: bytes) -> bytes:
    """Give where a photo lies, as the file system or object store has it.

    Args:
        uri: Of the scanned folder.
        path: Below it, as in the column `path_bytes`.
    """
    return uri.rstrip("/").encode() + b"/" + path


def absolute_paths(table: pa.Table, rows: Sequence[int]) -> list[bytes]:
    """Give where the photos of some rows lie."""
    picked = table.select(["uri", "path_bytes"]).take(pa.array(rows, pa.int64()))
    return [absolute_path(*where) for where in zip(*(column.to_pylist() for column in picked.columns), strict=True)]


def only_files_of_their_own(
    table: pa.Table, bursts: Sequence[Sequence[int]], *, keep_gone: bool = False
) -> tuple[list[list[int]], int]:
    """Leave out photos that are gone, and links (hard ones as well) to others of the same burst.

    Who removes what is listed must not lose a photo whose better one was removed before, or is a link to it.
    Object stores are not asked.

    Args:
        table: As `read_library` gives it.
        bursts: Rows of each burst, in order.
        keep_gone: Leave out the links alone: the disk may not be there.

    Returns:
        The bursts without them, and how many rows were left out.
    """
    kept: list[list[int]] = []
    for burst in bursts:
        seen: set[bytes | tuple[int, int]] = set()
        kept.append([])
        for row, path in zip(burst, absolute_paths(table, burst), strict=True):
            file = _identity(path) if path.startswith(b"/") else path
            if file is None and keep_gone:
                file = path
            if file is not None and file not in seen:
                seen.add(file)
                kept[-1].append(row)
    return kept, sum(map(len, bursts)) - sum(map(len, kept))


def _identity(path: bytes) -> tuple[int, int] | None:
    """Give the file itself, whichever of its names it is asked for by; None where it is gone."""
    try:
        about = os.stat(path)  # noqa: PTH116 - bytes
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _checked(table: pa.Table, where: str) -> pa.Table:
    version = (table.schema.metadata or {}).get(VERSION_KEY, b"0").decode(errors="replace")
    if not version.isdecimal() or int(version) > VERSION:
        problem = (
            f"a newer version of dbd_ray wrote it (layout {version}, this one reads up to {VERSION}); update dbd_ray"
        )
        raise DatasetError(where, [problem])
    table = with_new_names(table)
    missing = [name for name in LIBRARY_SCHEMA.names if table.schema.get_all_field_indices(name) == []]
    if missing:
        raise DatasetError(where, [f"is no table of a library, or another version's: no {', '.join(missing)}; {AGAIN}"])
    try:
        return table.select(LIBRARY_SCHEMA.names).cast(LIBRARY_SCHEMA)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise DatasetError(where, [f"another version's columns; {AGAIN}: {_first_line(error)}"]) from None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
