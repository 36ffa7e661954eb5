"""What is taught: the rows of a prepared dataset, or any photos by a manifest of ids and URIs."""

import io
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
import ray
import ray.data

from dbd_ray.config import TeachConfig
from dbd_ray.datasets.listing import list_folder, open_arrow_storage, open_storage, read_bytes
from dbd_ray.datasets.prepare import list_photos
from dbd_ray.datasets.prepared import RENDERED_SOURCE, as_uri, parts_uri, read_info, replace_bytes
from dbd_ray.errors import DatasetError
from dbd_ray.teaching.store import Key

MANIFEST_FILE = "manifest.parquet"


class Source(NamedTuple):
    """Photos to teach.

    Attributes:
        location: Parquet file or folder of the rows.
        columns: Which of id, digest, uri, image it has and are needed.
        keys: (id, digest) of every row to teach; the digest is "" where the rows have none.
        kept: How many rows have a true depth already and are left as they are.
        depth_root: Folder that holds the teachers' folders.
        depth_size: (height, width) of the depth maps; None: each photo's own aspect ratio.
        originals: Whether a row's `uri` goes before its `image`.
    """

    location: str
    columns: tuple[str, ...]
    keys: tuple[Key, ...]
    kept: int
    depth_root: str
    depth_size: tuple[int, int] | None
    originals: bool

    def dataset(self, pending: Collection[Key], *, rows_per_task: int) -> ray.data.Dataset:
        """Make a Ray Dataset of id, digest, uri and image of chosen rows, cut into blocks of `rows_per_task`."""
        choose = _Choose(ray.put(frozenset(pending)), self.originals)
        storage, path = open_arrow_storage(self.location)
        rows = ray.data.read_parquet(path, filesystem=storage, columns=list(self.columns))
        return rows.map_batches(choose, batch_format="pyarrow", batch_size=None).repartition(
            target_num_rows_per_block=rows_per_task
        )

    def pictures(self, keys: Sequence[Key]) -> dict[Key, bytes]:
        """Read the encoded photos of a few rows; one that cannot be read is left out."""
        found: dict[Key, bytes] = {}
        chosen = pc.field("id").isin([key[0] for key in keys])
        for row in scan(self.location, self.columns, chosen).to_pylist():
            uri = row.get("uri")
            try:
                picture = read_bytes(uri) if uri and (self.originals or not row.get("image")) else row["image"]
            except (OSError, DatasetError):
                continue
            found[row["id"], row.get("digest") or ""] = picture
        return {key: found[key] for key in keys if key in found}


def open_source(config: TeachConfig) -> Source:
    """Find out what a configuration asks to teach.

    Raises:
        DatasetError: There is nothing there, it was written by an older version, or ids are missing or repeated.
    """
    return _prepared(config) if config.data else _photos(config)


def _prepared(config: TeachConfig) -> Source:
    location = as_uri(str(config.data))
    info = read_info(location)
    parts = parts_uri(location, info)
    rows = scan(parts, ("id", "digest", "uri", "depth_teacher"))
    if rows["digest"].null_count:
        raise DatasetError(location, ["prepared by an older version, which kept no digests: prepare it again"])
    true = pc.starts_with(pc.fill_null(rows["depth_teacher"], ""), f"{RENDERED_SOURCE}@")
    taught = rows.filter(pc.invert(true))
    originals = config.pictures != "prepared"
    known = len(taught) - taught["uri"].null_count
    if config.pictures == "original" and known < len(taught):
        raise DatasetError(location, [f"pictures: original photos are known for {known} of {len(taught)} rows only"])
    needs_images = not originals or known < len(taught)
    return Source(
        location=parts,
        columns=("id", "digest", "uri", "image") if needs_images else ("id", "digest", "uri"),
        keys=tuple(zip(taught["id"].to_pylist(), taught["digest"].to_pylist(), strict=True)),
        kept=len(rows) - len(taught),
        depth_root=f"{location}/depths",
        depth_size=info.input_size,
        originals=originals,
    )


def _photos(config: TeachConfig) -> Source:
    location, out = as_uri(str(config.photos)), as_uri(str(config.out))
    if not _is_manifest(location):
        location = _write_manifest(location, out)
    names = _open(location).schema.names
    missing = [name for name in ("id", "uri") if name not in names]
    if missing:
        raise DatasetError(location, [f"this manifest has no column {', '.join(missing)}; it has {', '.join(names)}"])
    columns = tuple(name for name in ("id", "digest", "uri") if name in names)
    rows = scan(location, columns)
    empty = [name for name in ("id", "uri") if rows[name].null_count]
    if empty or not len(rows):
        raise DatasetError(location, [f"{', '.join(empty)}: empty in some rows" if empty else "the manifest is empty"])
    digests = rows["digest"].to_pylist() if "digest" in columns else [None] * len(rows)
    keys = tuple((str(id), digest or "") for id, digest in zip(rows["id"].to_pylist(), digests, strict=True))
    repeated = sorted(id for id, count in Counter(id for id, _ in keys).items() if count > 1)
    if repeated:
        raise DatasetError(location, [f"id {id} stands in several rows, but an id names one photo" for id in repeated])
    return Source(location, columns, keys, 0, out, config.size, originals=True)


class _Choose:
    """Keeps the rows that are to be taught, with all columns that decoding looks at."""

    def __init__(self, pending: "ray.ObjectRef[frozenset[Key]]", originals: bool) -> None:
        self.pending = pending
        self.originals = originals

    def __call__(self, batch: pa.Table) -> pa.Table:
        pending = ray.get(self.pending)
        count = len(batch)
        digests = pc.fill_null(batch["digest"], "") if "digest" in batch.column_names else pa.array([""] * count)
        images = batch["image"] if "image" in batch.column_names else pa.nulls(count, pa.binary())
        if self.originals:
            images = pc.if_else(pc.is_null(batch["uri"]), images, pa.scalar(None, pa.binary()))
        chosen = [key in pending for key in zip(batch["id"].to_pylist(), digests.to_pylist(), strict=True)]
        # a picture that is here already is taken before the original
        columns = {"id": batch["id"], "digest": digests, "uri": batch["uri"], "image": images}
        return pa.table(columns).filter(pa.array(chosen, pa.bool_()))


def _is_manifest(location: str) -> bool:
    if location.endswith(".parquet"):
        return True
    storage, path = open_storage(location)
    return any(name.endswith(".parquet") for name, _ in list_folder(storage, path) or [])


def _write_manifest(folder: str, out: str) -> str:
    uris = list_photos(folder)
    stream = io.BytesIO()
    pq.write_table(pa.table({"id": [uri.rsplit("/", 1)[1] for uri in uris], "uri": uris}), stream)
    replace_bytes(f"{out}/{MANIFEST_FILE}", stream.getvalue())
    return f"{out}/{MANIFEST_FILE}"


def _open(location: str) -> pyarrow.dataset.Dataset:
    storage, path = open_arrow_storage(location)
    try:
        return pyarrow.dataset.dataset(path, filesystem=storage, format="parquet")
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(location, [f"its Parquet files are missing or damaged: {error}"]) from None


def scan(location: str, columns: Sequence[str], chosen: pc.Expression | None = None) -> pa.Table:
    """Read columns of a Parquet file or folder into memory; one that is not there is null.

    Raises:
        DatasetError: Files are missing or damaged.
    """
    found = _open(location)
    known = [name for name in columns if name in found.schema.names]
    try:
        table = found.to_table(columns=known, filter=chosen)
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(location, [f"its Parquet files are missing or damaged: {error}"]) from None
    for name in columns:
        if name not in known:  # written before this column was
            table = table.append_column(name, pa.nulls(len(table), pa.string()))
    return table
