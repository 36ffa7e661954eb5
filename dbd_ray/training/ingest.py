"""Ingest of rows by the workers: cached in memory, or streamed by Ray Data where they are too many."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np

from dbd_ray.config import TrainConfig
from dbd_ray.datasets.prepared import read_info
from dbd_ray.errors import ConfigError
from dbd_ray.names import Split
from dbd_ray.training.ledger import digest
from dbd_ray.training.samples import EncodedRow, Window, epoch_order, row_order


class Ingest(NamedTuple):
    """The kind of a run's ingest, and the reason for it, for people."""

    kind: Literal["cached", "streaming"]
    reason: str


def choose_ingest(config: TrainConfig) -> Ingest:
    """Choose by the encoded size of the training split, unless the settings say.

    Raises:
        ConfigError: Rows would be streamed with settings that need all of them at hand.
        DatasetError: A prepared dataset is missing.
    """
    size = encoded_bytes(config.data, "train") / 2**30
    limit = config.cache_limit_gib
    if config.ingest == "auto":
        small = size <= limit
        reason = f"{size:.3g} GiB of training rows are {'within' if small else 'above'} cache_limit_gib={limit:g}"
        chosen = Ingest("cached" if small else "streaming", reason)
    else:
        chosen = Ingest(config.ingest, "as configured")
    if chosen.kind == "streaming" and config.shares:
        raise ConfigError(
            f"shares: rows of a source can only be drawn where all are at hand, but ingest is streaming "
            f"({chosen.reason}); raise cache_limit_gib, or remove shares and prepare as many rows as are wanted"
        )
    return chosen


def encoded_bytes(locations: Sequence[str], split: Split) -> float:
    """Estimate the encoded size of a split from that of whole datasets."""
    infos = [read_info(location) for location in locations]
    return sum(info.image_bytes * info.rows.get(split, 0) / max(1, sum(info.rows.values())) for info in infos)


class Rows(Protocol):
    """The rows of one split, in the same order on every worker.

    Attributes:
        available: Number of rows.
    """

    available: int

    def per_epoch(self) -> int:
        """Return the number of rows in an epoch, those of its last incomplete batch included."""

    def epoch(self, epoch: int) -> Iterator[Window]:
        """Yield the rows of an epoch (from 0), in an order that depends on the seed and the epoch alone."""

    def all(self) -> Iterator[Sequence[EncodedRow]]:
        """Yield all rows, in an order that is always the same."""

    def digest(self, epoch: int) -> str | None:
        """Return the ledger's digest of an epoch (from 0); None where it is not known before the rows are read."""


class CachedRows:
    """Rows in memory, still encoded (tens of kilobytes each); every epoch is a seeded order of them.

    Args:
        rows: All rows of the split, in any order.
        config: `seed`, `shares` and `batch_size` are used.
    """

    def __init__(self, rows: Sequence[EncodedRow], config: TrainConfig) -> None:
        self._rows = sorted(rows, key=row_order)
        self._config = config
        self.available = len(self._rows)

    def per_epoch(self) -> int:
        return len(self._order(0))

    def epoch(self, epoch: int) -> Iterator[Window]:
        yield Window(self._rows, self._order(epoch))

    def all(self) -> Iterator[Sequence[EncodedRow]]:
        yield self._rows

    def digest(self, epoch: int) -> str | None:
        order = self._order(epoch)
        whole = len(order) // self._config.batch_size * self._config.batch_size
        return digest(self._rows[index].name for index in order[:whole])

    def _order(self, epoch: int) -> np.ndarray:
        return epoch_order(self._rows, seed=self._config.seed, epoch=epoch, shares=self._config.shares)
