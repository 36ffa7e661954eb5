"""Streamed rows, for datasets too large for a worker's memory: Ray Data reads them in every pass, in a seeded order."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray.data
from ray.data import TaskPoolStrategy

from dbd_ray.config import TrainConfig
from dbd_ray.datasets.prepared import parts_uri, read_info
from dbd_ray.errors import DatasetError
from dbd_ray.names import Split
from dbd_ray.storage import list_folder, open_arrow_storage, open_storage
from dbd_ray.training.prefetch import prefetch_next
from dbd_ray.training.samples import EncodedRow, Window, rows_from_columns

WINDOW_ROWS = 2048  # rows of a stream that are shuffled together, tens of megabytes
READING_TASKS = 4  # at the same time, for each worker


class StreamedRows:
    """Rows that are read in every pass: files in a seeded order, rows shuffled by seed within windows of the stream.

    Every worker reads the whole stream and decodes its part of every batch alone, so that an epoch does not depend on
    the number of workers.

    Args:
        split: The split that is read.
        config: `data`, `seed` and `batch_size` are used.
    """

    def __init__(self, split: Split, config: TrainConfig) -> None:
        self._split = split
        self._config = config
        self._infos = {location: read_info(location) for location in config.data}
        self._window = max(1, WINDOW_ROWS // config.batch_size) * config.batch_size
        self.available = sum(info.rows.get(split, 0) for info in self._infos.values())

    def per_epoch(self) -> int:
        return self.available

    def epoch(self, epoch: int) -> Iterator[Window]:
        files = self._files()
        order = np.random.default_rng([self._config.seed, epoch]).permutation(len(files))
        for number, rows in enumerate(prefetch_next(self._windows([files[index] for index in order]))):
            rng = np.random.default_rng([self._config.seed, epoch, number])
            yield Window(rows, rng.permutation(len(rows)))

    def all(self) -> Iterator[Sequence[EncodedRow]]:
        yield from prefetch_next(self._windows(self._files()))

    def digest(self, epoch: int) -> None:
        return None

    def _files(self) -> list[tuple[str, str]]:
        folders = [parts_uri(location, info) for location, info in self._infos.items()]
        return [(folder, name) for folder in folders for name in _part_names(folder)]

    def _windows(self, files: list[tuple[str, str]]) -> Iterator[list[EncodedRow]]:
        if not files:
            raise self._incomplete(0)
        parts = ray.data.from_items([{"folder": folder, "name": name} for folder, name in files])
        parts.context.execution_options.preserve_order = True
        # without a CPU of their own: the workers may hold all, and the reading would wait for them forever
        rows = parts.map_batches(
            partial(_read_part, split=self._split),
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=0,
            compute=TaskPoolStrategy(size=min(READING_TASKS, len(files))),
        )
        found = 0
        for batch in rows.iter_batches(batch_size=self._window, batch_format="pyarrow"):
            table: pa.Table = batch
            found += table.num_rows
            yield rows_from_columns(table.to_pydict())
        if found != self.available:
            raise self._incomplete(found)

    def _incomplete(self, found: int) -> DatasetError:
        what = f"{found} of {self.available} rows of split {self._split!r} found: files are missing, prepare it again"
        return DatasetError(", ".join(self._config.data), [what])


def _part_names(folder: str) -> list[str]:
    storage, path = open_storage(folder)
    return [name for name, is_folder in list_folder(storage, path) or [] if not is_folder]


def _read_part(part: pa.Table, split: Split) -> pa.Table:
    ((folder, name),) = zip(part["folder"].to_pylist(), part["name"].to_pylist(), strict=True)
    filesystem, path = open_arrow_storage(folder)
    wanted = list(EncodedRow._fields)
    try:
        return pq.read_table(f"{path}/{name}", filesystem=filesystem, columns=wanted, filters=[("split", "=", split)])
    except (OSError, pa.ArrowException) as error:
        # no DatasetError: storage that is away for a moment must not end the run, so that the epoch is tried again
        raise OSError(f"{folder}/{name} cannot be read; if it is damaged, prepare the dataset again: {error}") from None
