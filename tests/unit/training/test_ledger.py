from collections.abc import Callable

import pytest

from dbd_ray.config import TrainConfig
from dbd_ray.errors import CheckpointError
from dbd_ray.training.ingest import CachedRows
from dbd_ray.training.ledger import Entry, check_ledger, digest, make_entry
from dbd_ray.training.ranks import Ranks
from dbd_ray.training.samples import EncodedRow, train_batches

MakeConfig = Callable[..., TrainConfig]


def _check(*epochs: int, epoch: int, photos: int = 8, planned: str | None = "abc") -> None:
    entries = [Entry(one, 8, "abc", 2) for one in epochs]
    check_ledger(entries, epoch=epoch, photos=photos, planned=lambda _: planned)


def test_every_epoch_once_is_what_is_let_through() -> None:
    _check(1, 2, 3, epoch=3)
    _check(epoch=0)
    _check(1, epoch=1, planned=None)


def test_a_run_of_an_older_version_has_no_ledger_or_one_that_starts_late() -> None:
    _check(epoch=5)
    _check(4, 5, epoch=5)


@pytest.mark.parametrize("epochs", [(1, 2), (1, 2, 2), (1, 3), (2, 3, 4), (1, 3, 2)])
def test_an_epoch_that_is_missing_or_there_twice_is_refused(epochs: tuple[int, ...]) -> None:
    with pytest.raises(CheckpointError, match=r"the ledger holds the epochs \[.*\], but the weights 3: choose another"):
        _check(*epochs, epoch=3)


def test_an_epoch_of_other_photos_is_refused() -> None:
    for wrong in ({"photos": 12}, {"planned": "abd"}):
        with pytest.raises(CheckpointError, match=r"epoch 1 was trained on 8 photos that are not the .* the data has"):
            _check(1, 2, epoch=2, **wrong)


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_what_the_workers_were_given_makes_the_entry_that_was_planned(
    make_config: MakeConfig, photo_rows: list[EncodedRow], world_size: int
) -> None:
    config = make_config(batch_size=4, seed=3)
    rows = CachedRows(photo_rows[::-1], config)

    def names(rank: int) -> list[tuple[str, ...]]:
        ranks = Ranks(rank, world_size)
        batches = train_batches(
            rows.epoch(1), batch_size=4, config=config.augment, seed=config.seed, epoch=1, ranks=ranks
        )
        return [batch.ids for batch in batches]

    entry = make_entry(2, [names(rank) for rank in range(world_size)])
    assert entry == (2, 8, rows.digest(1), world_size)
    assert entry.digest != rows.digest(0)


def test_the_digest_knows_the_order() -> None:
    assert digest(["cuhk/a", "cuhk/b"]) != digest(["cuhk/b", "cuhk/a"])
    assert digest(iter(["cuhk/a", "cuhk/b"])) == digest(["cuhk/a", "cuhk/b"])
