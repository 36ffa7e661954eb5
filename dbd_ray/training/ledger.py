"""The ledger: an entry per epoch in a run's checkpoint, by which no epoch is repeated or left out when it goes on."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from dbd_ray.errors import CheckpointError


class Entry(NamedTuple):
    """One completed epoch.

    Attributes:
        epoch: Number of the epoch, from 1.
        photos: Number of photos that went into the weights, repetitions included.
        digest: Digest of their names in order, see `digest`.
        workers: Number of workers that shared them.
    """

    epoch: int
    photos: int
    digest: str
    workers: int


def make_entry(epoch: int, trained: Sequence[Sequence[Sequence[str]]]) -> Entry:
    """Make the entry of an epoch.

    Args:
        epoch: Number of the epoch, from 1.
        trained: Names of the rows, by worker and step.
    """
    in_order = list(chain.from_iterable(chain.from_iterable(zip(*trained, strict=True))))
    return Entry(epoch, len(in_order), digest(in_order), len(trained))


def digest(names: Iterable[str]) -> str:
    """Digest names in their order: the first 16 hexadecimal digits of a sha256."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def check_ledger(entries: Sequence[Entry], *, epoch: int, photos: int, planned: Callable[[int], str | None]) -> None:
    """Refuse to go on from weights that were trained on other photos than the settings say.

    Args:
        entries: The ledger; that of a run which an older version began starts late, or is empty.
        epoch: Number of epochs that the weights were trained for.
        photos: Number of photos in an epoch.
        planned: Returns the digest that an epoch (from 0) must have; None: any digest.

    Raises:
        CheckpointError: An epoch is missing or doubled, or has other photos.
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
