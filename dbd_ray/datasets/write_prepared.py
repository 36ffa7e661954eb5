"""Writing of a Ray Dataset's rows as a prepared dataset, which replaces an earlier one in one step."""

import hashlib
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import ray.data

from dbd_ray.datasets.prepared import (
    SCHEMA,
    PreparedInfo,
    image_digest,
    open_parts,
    read_info,
    require_place,
    write_info,
)
from dbd_ray.datasets.rows import row_fingerprint
from dbd_ray.errors import DatasetError
from dbd_ray.storage import UNREACHABLE, as_uri, list_folder, open_storage

ROWS_PER_FILE = 32


def write_prepared(dataset: ray.data.Dataset, out: str | Path, *, input_size: tuple[int, int]) -> PreparedInfo:
    """Write rows as a prepared dataset; it may replace the dataset that the rows are read from.

    Args:
        dataset: Rows with the columns of `prepared.SCHEMA`, executed once. Nullable columns may be missing, columns
            beyond the schema are dropped, `digest` is always computed here.
        out: Folder or URI of the dataset; what is there is replaced only when the new one is complete.
        input_size: (height, width) of every picture, mask and depth, px.

    Returns:
        Content of the new `dataset.json`, counted from the files as they were written.

    Raises:
        DatasetError: The storage cannot be written; the old dataset remains.
    """
    location = as_uri(out)
    require_place(location)
    parts = f"parts-{uuid.uuid4().hex[:12]}"
    storage, folder = open_storage(f"{location}/{parts}")
    filesystem, path = open_parts(location, parts)
    try:
        dataset.map_batches(_conform, batch_format="pyarrow", batch_size=ROWS_PER_FILE).write_parquet(
            path, filesystem=filesystem, min_rows_per_file=ROWS_PER_FILE
        )
        if not list_folder(storage, folder):
            reason = "there are none, or the workers see another storage under this name"
            raise DatasetError(location, [f"cannot be written, no rows arrived there: {reason}"])
        info = _describe(ray.data.read_parquet(path, filesystem=filesystem), parts, input_size)
        previous = _present_parts(location)
        write_info(location, info)
    except BaseException as error:
        with suppress(DatasetError):  # the first error is the one to tell
            _remove(location, parts)
        if isinstance(error, OSError):
            reason = str(error).strip().splitlines()[-1]  # behind Ray's traceback of the task
            raise DatasetError(location, [f"cannot be written, {UNREACHABLE}: {reason}"]) from error
        raise
    if previous:
        _remove(location, previous)
    return info


def _conform(table: pa.Table) -> pa.Table:
    if not table.num_rows:  # an empty block has no columns either
        return SCHEMA.empty_table()
    given = {name: table[name] for name in table.column_names}
    given["digest"] = pa.array([image_digest(image) for image in given["image"].to_pylist()])
    columns = [given.get(field.name, pa.nulls(table.num_rows)).cast(field.type) for field in SCHEMA]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _describe(written: ray.data.Dataset, parts: str, input_size: tuple[int, int]) -> PreparedInfo:
    facts = pa.concat_tables(
        written.map_batches(_facts, batch_format="pyarrow", batch_size=ROWS_PER_FILE).iter_batches(
            batch_size=None, batch_format="pyarrow"
        )
    )
    fingerprints = sorted(facts["fingerprint"].to_pylist())
    return PreparedInfo(
        parts=parts,
        input_size=input_size,
        rows=dict(Counter(facts["split"].to_pylist())),
        sources=dict(Counter(facts["source"].to_pylist())),
        depth_rows=sum(facts["has_depth"].to_pylist()),
        image_bytes=sum(facts["bytes"].to_pylist()),
        fingerprint=hashlib.sha256("\n".join(fingerprints).encode()).hexdigest()[:16],
    )


def _facts(table: pa.Table) -> pa.Table:
    rows = table.to_pylist()
    return pa.table(
        {
            "split": table["split"],
            "source": table["source"],
            "fingerprint": pa.array([row_fingerprint(row) for row in rows], pa.string()),
            "has_depth": pa.array([row["depth"] is not None for row in rows], pa.bool_()),
            "bytes": pa.array([sum(len(row[name] or b"") for name in ("image", "mask", "depth")) for row in rows]),
        }
    )


def _present_parts(location: str) -> str | None:
    try:
        return read_info(location).parts
    except DatasetError:
        return None


def _remove(location: str, parts: str) -> None:
    storage, folder = open_storage(f"{location}/{parts}")
    try:
        if storage.exists(folder):
            storage.rm(folder, recursive=True)
    except FileNotFoundError:
        pass  # another preparation removed it at the same moment
    except OSError as error:
        raise DatasetError(
            location, [f"{parts}/ is no longer used but cannot be removed, delete it: {error}"]
        ) from None
