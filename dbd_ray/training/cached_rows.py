"""Rows of prepared datasets, cached in Ray's object store for all workers of a run."""

import ray.data

from dbd_ray.datasets.prepared import open_parts, read_info, require_rows
from dbd_ray.errors import DatasetError
from dbd_ray.names import Split
from dbd_ray.training.samples import EncodedRow


def read_split(locations: tuple[str, ...], split: Split) -> ray.data.Dataset:
    """Read one split of prepared datasets into the object store, as a Ray Dataset of encoded rows.

    The driver reads it, not the workers: where these hold all CPUs, reading tasks would wait for a CPU forever.

    Args:
        locations: Folders or URIs of prepared datasets.
        split: The split whose rows are read.

    Raises:
        DatasetError: The split is empty or incomplete, or files cannot be read.
    """
    with_rows = [location for location in locations if read_info(location).rows.get(split)]
    if not with_rows:
        raise DatasetError(", ".join(locations), [f"no rows of split {split!r}; prepare the dataset again"])
    parts = [_read_whole(location, split) for location in with_rows]
    return parts[0].union(*parts[1:]).materialize() if len(parts) > 1 else parts[0]


def _read_whole(location: str, split: Split) -> ray.data.Dataset:
    info = read_info(location)
    filesystem, path = open_parts(location, info.parts)
    try:
        dataset = (
            ray.data.read_parquet(path, filesystem=filesystem, columns=[*EncodedRow._fields, "split"])
            .filter(expr=f"split == '{split}'")
            .drop_columns(["split"])
            .materialize()
        )
        found = dataset.count()
    except (OSError, ValueError) as error:  # ValueError: no files at all, or none that are Parquet
        raise DatasetError(location, [f"its Parquet files cannot be read, prepare it again: {error}"]) from None
    require_rows(location, info, split, found)
    return dataset
