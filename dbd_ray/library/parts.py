"""The library's table on storage: rows of a run that goes on, in parts that are written in one step, and the whole."""

import hashlib
import io
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from dbd_ray.errors import DatasetError
from dbd_ray.library.schema import LIBRARY_SCHEMA, TABLE, with_new_names
from dbd_ray.library.table import read_library
from dbd_ray.storage import UNREACHABLE, list_folder, open_storage, replace_bytes

_PARTS, _EARLIER = ".dbd-ray-parts", "earlier.parquet"


def commit(out: str, rows: pa.Table) -> None:
    """Write rows as one part, in one step; a repeated task replaces its part instead of adding another.

    Raises:
        DatasetError: The storage cannot be written.
    """
    name = hashlib.sha256(b"\0".join(rows["path_bytes"].to_pylist())).hexdigest()[:24]
    _write(f"{out}/{_PARTS}/{name}.parquet", rows)


def read_table(out: str) -> pa.Table | None:
    """Read the whole table of an earlier run; None where there is none.

    Raises:
        DatasetError: A file of this name is something else, damaged, or of another version.
    """
    storage, path = open_storage(out)
    if not storage.exists(f"{path}/{TABLE}"):
        return None
    try:
        return read_library(out)
    except DatasetError as error:
        advice = f"move {TABLE} away, which makes all results anew, or choose another folder"
        raise DatasetError(out, [*error.problems, advice]) from None


def read_parts(out: str, *, earlier: bool = True) -> pa.Table:
    """Read the rows of all parts; one that is damaged is left out, so that its photos are looked at again.

    Args:
        out: Folder or URI of the results.
        earlier: With those of `keep_parts`.
    """
    storage, path = open_storage(out)
    tables = []
    for name, is_folder in list_folder(storage, f"{path}/{_PARTS}") or []:
        if is_folder or not name.endswith(".parquet") or name.startswith(".") or (name == _EARLIER and not earlier):
            continue
        try:
            with storage.open(f"{path}/{_PARTS}/{name}", "rb") as file:
                tables.append(with_new_names(pq.read_table(file)).cast(LIBRARY_SCHEMA))
        except (OSError, ValueError, pa.ArrowInvalid):
            continue
    return pa.concat_tables(tables) if tables else LIBRARY_SCHEMA.empty_table()


def keep_parts(out: str, rows: pa.Table) -> None:
    """Put rows of earlier parts into one, so that all others are those of the run that begins."""
    storage, path = open_storage(out)
    names = [name for name, is_folder in list_folder(storage, f"{path}/{_PARTS}") or [] if not is_folder]
    if not names:
        return
    _write(f"{out}/{_PARTS}/{_EARLIER}", rows)
    for name in names:
        if name != _EARLIER:
            storage.rm_file(f"{path}/{_PARTS}/{name}")


def publish(out: str, rows: pa.Table) -> None:
    """Replace the whole table in one step, and then drop the parts.

    Raises:
        DatasetError: The storage cannot be written.
    """
    _write(f"{out}/{TABLE}", rows)
    storage, path = open_storage(out)
    if storage.exists(f"{path}/{_PARTS}"):
        storage.rm(f"{path}/{_PARTS}", recursive=True)


def table_of(rows: Iterable[dict[str, object]]) -> pa.Table:
    """Make a table of rows, in which missing columns are null."""
    return pa.Table.from_pylist(list(rows), schema=LIBRARY_SCHEMA)


def _write(location: str, rows: pa.Table) -> None:
    stream = io.BytesIO()
    pq.write_table(rows.cast(LIBRARY_SCHEMA), stream, compression="zstd")
    try:
        replace_bytes(location, stream.getvalue(), sync=location.endswith(f"/{TABLE}"))
    except OSError as error:
        raise DatasetError(location, [f"cannot be written, {UNREACHABLE}: {error}"]) from None
