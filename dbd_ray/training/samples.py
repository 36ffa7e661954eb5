"""Batches of tensors from rows of a prepared dataset: choice, order and augmentation of the rows.

Every choice is a function of (seed, epoch, row), never of the number of workers or of time, so that
a resumed epoch sees what the interrupted one would have seen.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch

from dbd_ray.config import AugmentConfig
from dbd_ray.errors import ConfigError, DatasetError, PhotoError
from dbd_ray.images.encode import decode_depth, decode_mask
from dbd_ray.training.augment import Sample, augment, decode_plain, resize_sample
from dbd_ray.training.prefetch import prefetch
from dbd_ray.training.ranks import ALONE, Ranks


class Batch(NamedTuple):
    """A batch of labelled photos.

    Attributes:
        photos: uint8 N×3×H×W RGB; normalised by the network's own mean and std on the device.
        focus: float32 N×1×H×W, 1 = in focus, 0 = out of focus.
        depth: float32 N×1×H×W in [0,1]; zeros where unknown.
        has_depth: bool N, True for pictures that have a depth.
        ids: Names of the rows, for the ledger.
    """

    photos: torch.Tensor
    focus: torch.Tensor
    depth: torch.Tensor
    has_depth: torch.Tensor
    ids: tuple[str, ...] = ()

    def to(self, device: torch.device) -> "Batch":
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        return self._each(torch.Tensor.pin_memory)

    def empty(self) -> "Batch":
        """Return a batch without pictures, of this batch's picture size."""
        return self._each(lambda tensor: tensor[:0])._replace(ids=())

    def black(self) -> "Batch":
        """Return a batch of one black picture of this size, nowhere in focus, without depth."""
        return self._each(lambda tensor: tensor.new_zeros((1, *tensor.shape[1:])))._replace(ids=())

    def split(self, parts: int) -> "list[Batch]":
        """Split the pictures as evenly as possible, more to the first parts; some may be empty, and all have no ids."""
        return [Batch(*part) for part in zip(*(tensor.tensor_split(parts) for tensor in self[:4]), strict=True)]

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Batch":
        photos, focus, depth, has_depth = map(change, self[:4])
        return Batch(photos, focus, depth, has_depth, self.ids)


class EncodedRow(NamedTuple):
    """One row of a prepared dataset, still encoded (tens of kilobytes)."""

    id: str
    source: str
    image: bytes
    mask: bytes
    depth: bytes | None

    @property
    def name(self) -> str:
        """The row's name in the ledger."""
        return f"{self.source}/{self.id}"


class Window(NamedTuple):
    """Rows in memory and their order in training: those of a whole epoch, or a part of it where rows are streamed."""

    rows: Sequence[EncodedRow]
    order: np.ndarray


def rows_from_columns(columns: dict[str, Sequence[Any]]) -> list[EncodedRow]:
    """Turn columns of a prepared dataset into rows, sorted by `row_order`."""
    rows = zip(*(columns[name] for name in EncodedRow._fields), strict=True)
    return sorted((EncodedRow(*row) for row in rows), key=row_order)


def row_order(row: EncodedRow) -> tuple[str, str, bytes, bytes, bytes]:
    """Return the sort key of rows; readers may deliver them in any order, and datasets may share ids."""
    # the bytes are compared only where two sets, e.g. of scenes rendered with other seeds, share id and source
    return row.id, row.source, row.image, row.mask, row.depth or b""


def decode_row(row: EncodedRow) -> Sample:
    """Decode picture, mask and depth of a row.

    Raises:
        DatasetError: One of them is damaged; names the row.
    """
    try:
        return Sample(
            photo=decode_plain(np.frombuffer(row.image, np.uint8)),
            focus=decode_mask(row.mask, polarity="focus"),
            depth=None if row.depth is None else decode_depth(row.depth),
        )
    except (ValueError, PhotoError) as error:
        raise DatasetError(row.source, [f"row {row.id} is damaged, prepare the dataset again: {error}"]) from None


def epoch_order(
    rows: Sequence[EncodedRow], *, seed: int, epoch: int, shares: Mapping[str, float] = MappingProxyType({})
) -> np.ndarray:
    """Choose the rows of an epoch and their order.

    Args:
        rows: All training rows.
        seed: The run's seed.
        epoch: 0-based.
        shares: Share of the epoch by source, whose rows are drawn anew for each epoch, repeatedly only where there are
            too few. Rows of other sources come once each.

    Returns:
        Indices into rows.

    Raises:
        ConfigError: A source with a share has no rows, or no other source has any.
    """
    rng = np.random.default_rng([seed, epoch])
    by_source = {source: [i for i, row in enumerate(rows) if row.source == source] for source in sorted(shares)}
    chosen = [np.array([i for i, row in enumerate(rows) if row.source not in shares], dtype=np.int64)]
    whole = len(chosen[0]) / (1 - sum(shares.values()))
    for source, places in by_source.items():
        wanted = round(whole * shares[source])
        if shares[source] > 0 and not (places and wanted):
            found = ", ".join(f"{count} {name}" for name, count in sorted(Counter(row.source for row in rows).items()))
            raise ConfigError(
                f"shares: {source}={shares[source]} cannot be had of the data ({found or 'no rows'}); name a prepared "
                "dataset of that source and one of another in data, or remove the share"
            )
        chosen.append(rng.choice(np.array(places, dtype=np.int64), size=wanted, replace=wanted > len(places)))
    return rng.permutation(np.concatenate(chosen))


def train_batches(
    windows: Iterable[Window],
    *,
    batch_size: int,
    config: AugmentConfig,
    seed: int,
    epoch: int,
    ranks: Ranks = ALONE,
    threads: int = 0,
    pin: bool = False,
    size: tuple[int, int] | None = None,
) -> Iterator[Batch]:
    """Yield this rank's part of every batch of an epoch; a window's last incomplete batch is left out.

    Args:
        windows: The epoch's rows in order; all but the last hold whole batches.
        batch_size: Photos per optimiser step over all ranks; a rank's part may be empty.
        config: Augmentation.
        seed: The run's seed.
        epoch: 0-based.
        ranks: This worker's rank, and the number of workers.
        threads: How many threads prefetch batches; 0: the calling thread decodes each when it is asked for.
        pin: Whether batches are in page-locked memory, from which a GPU copies while it computes.
        size: (height, width) of the pictures; None: as they were prepared.
    """

    def make(planned: tuple[Window, int, int]) -> Batch:
        window, start, before = planned

        def any_row(rng: np.random.Generator) -> Sample:
            return decode_row(window.rows[int(rng.integers(len(window.rows)))])

        def picture(offset: int) -> Sample:
            # by the place in the whole epoch's order, so that the changes do not depend on the rank
            rng = np.random.default_rng([seed, epoch, before + start + offset])
            return augment(decode_row(window.rows[window.order[start + offset]]), config, rng, size, any_row)

        own = ranks.part(batch_size)
        if not own:
            return collate([picture(0)]).empty()
        names = tuple(window.rows[window.order[start + offset]].name for offset in own)
        batch = collate([picture(offset) for offset in own])._replace(ids=names)
        return batch.pinned() if pin else batch

    yield from prefetch(make, _planned(windows, batch_size), threads)


def _planned(windows: Iterable[Window], batch_size: int) -> Iterator[tuple[Window, int, int]]:
    before = 0
    for window in windows:
        for start in range(0, len(window.order) - batch_size + 1, batch_size):
            yield window, start, before
        before += len(window.order)


def eval_batches(
    rows: Sequence[EncodedRow], *, batch_size: int, threads: int = 0, size: tuple[int, int] | None = None
) -> Iterator[Batch]:
    """Yield all rows, unchanged and in order; the last batch may be smaller.

    Args:
        rows: The rows.
        batch_size: Photos per batch.
        threads: How many threads prefetch batches; 0: the calling thread decodes each when it is asked for.
        size: (height, width) of the pictures; None: as they were prepared.
    """

    def make(start: int) -> Batch:
        samples = [decode_row(row) for row in rows[start : start + batch_size]]
        return collate([resize_sample(sample, size) for sample in samples] if size else samples)

    yield from prefetch(make, range(0, len(rows), batch_size), threads)


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one size into a batch; masks are cut at half."""
    height, width = samples[0].focus.shape
    missing = np.zeros((height, width), np.float32)
    depth = np.stack([missing if sample.depth is None else sample.depth for sample in samples])
    return Batch(
        photos=torch.from_numpy(np.stack([sample.photo for sample in samples])).permute(0, 3, 1, 2),
        focus=torch.from_numpy(np.stack([sample.focus > 127 for sample in samples])[:, None].astype(np.float32)),
        depth=torch.from_numpy(depth[:, None]),
        has_depth=torch.tensor([sample.depth is not None for sample in samples]),
    )
