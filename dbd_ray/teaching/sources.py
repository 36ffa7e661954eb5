"""The photos that are taught: the rows of a prepared dataset, a folder, or a manifest of ids and URIs."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, get_args

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import ray.data

from dbd_ray.config import TeachConfig
from dbd_ray.datasets.prepare import list_photos
from dbd_ray.datasets.prepared import RENDERED_SOURCE, PreparedInfo, parts_uri, read_info, require_rows
from dbd_ray.errors import DatasetError
from dbd_ray.names import Split
from dbd_ray.storage import as_uri, list_folder, open_arrow_storage, open_storage
from dbd_ray.teaching.store import Key


class Source(NamedTuple):
    """Photos to teach.

    Attributes:
        rows: Table of id, digest ("" where there is none), uri and file, one row for each photo. Where `file` is set,
            the prepared picture in that Parquet file is taught, else the photo at `uri`.
        kept: Number of further rows of the dataset, which have a true depth already and keep it.
        depth_root: Folder that holds the teachers' folders of depths.
        depth_size: (height, width) of the depth maps, px; None: each photo's own aspect ratio.
    """

    rows: pa.Table
    kept: int
    depth_root: str
    depth_size: tuple[int, int] | None

    def row_keys(self) -> list[Key]:
        """(id, digest) of every row."""
        return list(zip(self.rows["id"].to_pylist(), self.rows["digest"].to_pylist(), strict=True))

    def choose(self, wanted: Collection[Key]) -> pa.Table:
        """Select the rows with the given keys, in the order of `rows`."""
        return self.rows.filter(pa.array([key in wanted for key in self.row_keys()], pa.bool_()))

    def dataset(self, pending: Collection[Key], *, rows_per_task: int) -> ray.data.Dataset:
        """Make a Ray Dataset of the pending rows in blocks of `rows_per_task`; a row is a few names, without pixels.

        The rows come from the driver's memory: read_parquet would ask for whole CPUs, of which a small cluster has none
        left beside the actors, and would never start.
        """
        rows = self.choose(pending)
        return ray.data.from_arrow([rows.slice(i, rows_per_task) for i in range(0, len(rows), rows_per_task)])


def open_source(config: TeachConfig) -> Source:
    """Find the photos that a configuration names.

    Raises:
        DatasetError: There are none, the dataset was written by an older version, or ids are missing or repeated.
    """
    return _prepared(config) if config.data else _photos(config)


def read_pictures(rows: Sequence[dict[str, Any]]) -> dict[Key, bytes]:
    """Read the prepared pictures of rows that have a `file`; each file is read once.

    Args:
        rows: Rows of `Source.rows`.

    Returns:
        Encoded picture by key.

    Raises:
        DatasetError: A file is damaged or gone.
    """
    found: dict[Key, bytes] = {}
    wanted = {(row["id"], row["digest"]): row["file"] for row in rows if row["file"]}
    for file in sorted(set(wanted.values())):
        for row in scan(file, ("id", "digest", "image")).to_pylist():
            if wanted.get((row["id"], row["digest"])) == file:
                found[row["id"], row["digest"]] = row["image"]
    return found


def scan(location: str, columns: Sequence[str]) -> pa.Table:
    """Read columns of a Parquet file or folder into memory; a column that is missing there is null.

    Args:
        location: URI of the file or folder.
        columns: Names of the columns; `file` is the URI of the file that a row is in.

    Raises:
        DatasetError: Files are missing or damaged.
    """
    storage, path = open_arrow_storage(location)
    try:
        found = pyarrow.dataset.dataset(path, filesystem=storage, format="parquet")
        known = [name for name in columns if name in found.schema.names]
        table = found.to_table(columns=[*known, *(["__filename"] if "file" in columns else [])])
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(location, [f"its Parquet files are missing or damaged: {error}"]) from None
    if "file" in columns:
        names = [name.removeprefix(path).lstrip("/") for name in table["__filename"].to_pylist()]
        table = table.append_column("file", pa.array([f"{location}/{name}" for name in names], pa.string()))
    for name in {*columns} - {*table.column_names}:  # written before this column was added
        table = table.append_column(name, pa.nulls(len(table), pa.string()))
    return table.select(list(columns))


def scan_prepared(location: str, columns: Sequence[str]) -> tuple[PreparedInfo, pa.Table]:
    """Read columns of all rows of a prepared dataset, as `scan` does.

    Raises:
        DatasetError: There is none, or rows are missing from it, which publishing it anew would lose for good.
    """
    info = read_info(location)
    rows = scan(parts_uri(location, info), ("split", *columns))
    found = Counter(rows["split"].to_pylist())
    for split in get_args(Split):
        require_rows(location, info, split, found[split])
    return info, rows.drop_columns(["split"])


def _prepared(config: TeachConfig) -> Source:
    location = as_uri(str(config.data))
    info, rows = scan_prepared(location, ("id", "digest", "uri", "depth_teacher", "file"))
    if rows["digest"].null_count:
        raise DatasetError(location, ["prepared by an older version, which kept no digests: prepare it again"])
    true = pc.starts_with(pc.fill_null(rows["depth_teacher"], ""), f"{RENDERED_SOURCE}@")
    taught = rows.filter(pc.invert(true)).drop_columns(["depth_teacher"]).sort_by("id")
    unknown = taught["uri"].null_count
    if config.pictures == "original" and unknown:
        raise DatasetError(location, [f"pictures=original: {unknown} of {len(taught)} rows do not say where theirs is"])
    if config.pictures != "prepared":
        files = pc.if_else(pc.is_valid(taught["uri"]), pa.scalar(None, pa.string()), taught["file"])
        taught = taught.set_column(taught.column_names.index("file"), "file", files)
    return Source(taught, len(rows) - len(taught), f"{location}/depths", info.input_size)


def _photos(config: TeachConfig) -> Source:
    location, out = as_uri(str(config.photos)), as_uri(str(config.out))
    if not _is_manifest(location):
        # Parquet holds no names that are not UTF-8: escaped, such a photo is one that cannot be read, and fails alone
        uris = [uri.encode(errors="backslashreplace").decode() for uri in _photos_of(location)]
        rows = pa.table({"id": [uri.rsplit("/", 1)[1] for uri in uris], "uri": uris})
    else:
        rows = scan(location, ("id", "digest", "uri"))
    if not len(rows):
        raise DatasetError(location, ["the manifest is empty"])
    empty = [f"{name}: empty in {rows[name].null_count} of {len(rows)} rows" for name in ("id", "uri")]
    if rows["id"].null_count or rows["uri"].null_count:
        raise DatasetError(location, [*empty, "a manifest has the columns id and uri, filled in every row"])
    repeated = sorted(id for id, count in Counter(map(str, rows["id"].to_pylist())).items() if count > 1)
    if repeated:
        raise DatasetError(location, [f"id {id} stands in several rows, but an id names one photo" for id in repeated])
    known = rows["digest"] if "digest" in rows.column_names else pa.nulls(len(rows), pa.string())
    columns = {
        "id": rows["id"].cast(pa.string()),
        "digest": pc.fill_null(known.cast(pa.string()), ""),
        "uri": pa.array([as_uri(uri) for uri in rows["uri"].to_pylist()], pa.string()),
        "file": pa.nulls(len(rows), pa.string()),
    }
    return Source(pa.table(columns), 0, out, config.size)


def _photos_of(folder: str) -> list[str]:
    try:
        return list_photos(folder)
    except DatasetError:
        raise DatasetError(
            folder,
            ["no photos here; give a folder of them, or a .parquet file with the columns id and uri"],
        ) from None


def _is_manifest(location: str) -> bool:
    if location.endswith(".parquet"):
        return True
    storage, path = open_storage(location)
    return any(name.endswith(".parquet") for name, _ in list_folder(storage, path) or [])
