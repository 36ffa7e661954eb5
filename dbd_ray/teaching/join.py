"""Joining the committed depths into the prepared dataset that was taught."""

from collections.abc import Collection
from typing import Any

import pyarrow as pa
import ray
import ray.data

from dbd_ray.datasets.prepared import SCHEMA, PreparedInfo, open_parts
from dbd_ray.datasets.write_prepared import write_prepared
from dbd_ray.teaching.sources import scan_prepared
from dbd_ray.teaching.store import ROWS_PER_FILE, Committed, Key, read_depths


def join_depths(
    location: str, folder: str, committed: Committed, taught: Collection[Key], teacher: str
) -> PreparedInfo | None:
    """Publish a prepared dataset anew with the depths of a teacher.

    Args:
        location: URI of the dataset; its readers see the old rows until all new ones are written.
        folder: The teacher's folder of depths.
        committed: Photos that have a depth or a failure in that folder.
        taught: Keys of the rows that this teacher was to teach. Those that failed have no depth afterwards, so that
            depths of two teachers are never mixed; all other rows keep what they have.
        teacher: name@fingerprint.

    Returns:
        The description of the new dataset; None if the dataset had exactly these depths already.
    """
    info, names = scan_prepared(location, ("id", "digest", "depth_teacher"))
    wanted = {key: teacher if key in committed.files else None for key in taught}
    if all(wanted.get(_key(row), row["depth_teacher"]) == row["depth_teacher"] for row in names.to_pylist()):
        return None
    files = {key: name for key, name in committed.files.items() if key in wanted}
    add = _AddDepths(folder, ray.put(files), ray.put(frozenset(wanted)))
    storage, path = open_parts(location, info.parts)
    dataset = ray.data.read_parquet(path, filesystem=storage, columns=SCHEMA.names)
    joined = dataset.map_batches(add, batch_format="pyarrow", batch_size=ROWS_PER_FILE)
    return write_prepared(joined, location, input_size=info.input_size)


class _AddDepths:
    def __init__(
        self, folder: str, files: "ray.ObjectRef[dict[Key, str]]", taught: "ray.ObjectRef[frozenset[Key]]"
    ) -> None:
        self.folder = folder
        self.files = files
        self.taught = taught

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = batch.to_pylist()
        files, taught = ray.get([self.files, self.taught])
        here = {_key(row): files[_key(row)] for row in rows if _key(row) in files}
        depths = {key: (png, teacher) for key, png, teacher in read_depths(self.folder, here)}
        for row in rows:
            if _key(row) in taught:
                row["depth"], row["depth_teacher"] = depths.get(_key(row), (None, None))
        return pa.Table.from_pylist(rows, schema=SCHEMA)


def _key(row: dict[str, Any]) -> Key:
    return row["id"], row["digest"] or ""
