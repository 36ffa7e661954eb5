"""What a run was trained on, epoch by epoch: kept in its checkpoint, it proves that none was repeated or left out."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from dbd_ray.errors import CheckpointError


class Entry(NamedTuple):
    """One completed epoch.

    Attributes:
        epoch: From 1.
        photos: How many went into the weights, repetitions included.
        digest: Of their names in order.
        workers: How many workers shared them.
    """

    epoch: int
    photos: int
    digest: str
    workers: int


def make_entry(epoch: int, trained: Sequence[Sequence[Sequence[str]]]) -> Entry:
    """Write down an epoch.

    Args:
        epoch: From 1.
        trained: For every worker, for every step, the names of the rows.
    """
    in_order = list(chain.from_iterable(chain.from_iterable(zip(*trained, strict=True))))
    return Entry(epoch, len(in_order), digest(in_order), len(trained))


def digest(names: Iterable[str]) -> str:
    """Digest names in their order: the first 16 hexadecimal digits of a sha256."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def check_ledger(entries: Sequence[Entry], *, epoch: int, photos: int, planned: Callable[[int], str | None]) -> None:
    """Refuse to go on from weights that other photos went into than the settings say.

    Args:
        entries: The ledger; that of a run which an older version began starts late, or is empty.
        epoch: Number of epochs that are in the weights.
        photos: How many photos an epoch has.
        planned: Gives the digest that an epoch (from 0) must have; or None: any.

    Raises:
        CheckpointError: An epoch is missing or there twice, or its photos are others.
    """
    expected = list(range(epoch - len(entries) + 1, epoch + 1))
    found = [entry.epoch for entry in entries]
    if found != expected:
        raise CheckpointError(f"the ledger holds the epochs {found}, but the weights {epoch}: choose another name")
    for entry in entries:
        if entry.photos != photos or planned(entry.epoch - 1) not in (None, entry.digest):
            raise CheckpointError(
                f"epoch {entry.epoch} was trained on {entry.photos} photos that are not the {photos} that data, shares "
                "and seed give: the data has changed since, or another version began the run; choose another name"
            )
