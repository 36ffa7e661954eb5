import threading
from collections import Counter
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from dbd_ray.config import AugmentConfig
from dbd_ray.errors import ConfigError, DatasetError
from dbd_ray.training.ranks import Ranks
from dbd_ray.training.samples import (
    Batch,
    EncodedRow,
    Window,
    collate,
    decode_row,
    epoch_order,
    eval_batches,
    rows_from_columns,
    train_batches,
)

STRONG = AugmentConfig(flip=True, rotate_degrees=20, colour=0.3, jpeg_probability=0.5)


def _batches(rows: list[EncodedRow], order: np.ndarray, *, batch_size: int = 4, **settings: Any) -> list[Batch]:
    windows = [Window(rows, order)]
    return list(train_batches(windows, batch_size=batch_size, config=STRONG, **{"seed": 1, "epoch": 0, **settings}))


def _equal(one: Batch, other: Batch) -> bool:
    same = all(torch.equal(left, right) for left, right in zip(one[:4], other[:4], strict=True))
    return same and one.ids == other.ids


def _joined(parts: tuple[Batch, ...]) -> Batch:
    photos, focus, depth, has_depth = (
        torch.cat(tensors) for tensors in zip(*(part[:4] for part in parts), strict=True)
    )
    return Batch(photos, focus, depth, has_depth, sum((part.ids for part in parts), ()))


def test_an_epoch_is_every_row_once_in_a_new_order_each_epoch(photo_rows: list[EncodedRow]) -> None:
    orders = [epoch_order(photo_rows, seed=0, epoch=epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(11)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_the_order_is_a_function_of_seed_and_epoch(photo_rows: list[EncodedRow]) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return list(epoch_order(photo_rows, seed=seed, epoch=epoch))

    assert order(3, 2) == order(3, 2)
    assert order(3, 2) != order(2, 3)
    assert order(3, 2) != order(4, 2)


@pytest.mark.parametrize(("share", "scenes"), [(0.0, 0), (0.25, 4), (0.5, 11), (0.9, 99)])
def test_a_share_is_a_share_of_the_epoch_and_rows_of_other_sources_come_once(
    photo_rows: list[EncodedRow], rendered_rows: list[EncodedRow], share: float, scenes: int
) -> None:
    rows = [*photo_rows, *rendered_rows]
    order = epoch_order(rows, seed=0, epoch=0, shares={"rendered": share})
    chosen = [rows[index] for index in order]
    assert sorted(row.id for row in chosen if row.source == "cuhk") == [row.id for row in photo_rows]
    assert sum(row.source == "rendered" for row in chosen) == scenes
    assert scenes / len(order) == pytest.approx(share, abs=0.03)


def test_several_sources_have_each_its_share(photo_rows: list[EncodedRow], rendered_rows: list[EncodedRow]) -> None:
    sharp_rows = [row._replace(source="sharp") for row in photo_rows]
    rows = [*photo_rows, *rendered_rows, *sharp_rows]
    for shares in ({"rendered": 0.2, "sharp": 0.25}, {"sharp": 0.25, "rendered": 0.2}):
        order = epoch_order(rows, seed=0, epoch=0, shares=shares)
        assert Counter(rows[index].source for index in order) == {"cuhk": 11, "rendered": 4, "sharp": 5}
        assert order.tolist() == epoch_order(rows, seed=0, epoch=0, shares=dict(reversed(shares.items()))).tolist()
    # two sources come whole, the third is so much of all
    order = epoch_order(rows, seed=0, epoch=0, shares={"rendered": 0.12})
    assert Counter(rows[index].source for index in order) == {"cuhk": 11, "rendered": 3, "sharp": 11}


def test_rows_of_a_share_are_drawn_anew_each_epoch_and_none_twice_while_there_are_enough(
    photo_rows: list[EncodedRow], rendered_rows: list[EncodedRow]
) -> None:
    rows = [*photo_rows, *rendered_rows]
    drawn = []
    for epoch in range(8):
        order = epoch_order(rows, seed=0, epoch=epoch, shares={"rendered": 0.25})
        scenes = [int(index) for index in order if index >= len(photo_rows)]
        assert len(set(scenes)) == len(scenes) == 4
        drawn.append(frozenset(scenes))
    assert len(set(drawn)) > 1
    assert frozenset.union(*drawn) == frozenset(range(11, 18))


def test_a_share_of_a_source_that_is_not_there_is_refused_by_its_name_with_the_counts(
    photo_rows: list[EncodedRow], rendered_rows: list[EncodedRow]
) -> None:
    rows = [*photo_rows, *rendered_rows]
    with pytest.raises(ConfigError, match=r"shares: sharp=0\.1 cannot be had .*\(11 cuhk, 7 rendered\).*in data"):
        epoch_order(rows, seed=0, epoch=0, shares={"rendered": 0.2, "sharp": 0.1})
    with pytest.raises(ConfigError, match=r"shares: rendered=0\.5 .*\(no rows\)"):
        epoch_order([], seed=0, epoch=0, shares={"rendered": 0.5})


def test_a_share_needs_rows_of_another_source(rendered_rows: list[EncodedRow]) -> None:
    with pytest.raises(ConfigError, match=r"shares: rendered=0\.5 .*\(7 rendered\).*one of another"):
        epoch_order(rendered_rows, seed=0, epoch=0, shares={"rendered": 0.5})


def test_a_share_too_small_for_a_single_row_is_refused(
    photo_rows: list[EncodedRow], rendered_rows: list[EncodedRow]
) -> None:
    with pytest.raises(ConfigError, match=r"shares: rendered=0\.01 cannot be had"):
        epoch_order([*photo_rows, *rendered_rows], seed=0, epoch=0, shares={"rendered": 0.01})


def test_a_share_of_zero_leaves_the_source_out_whether_it_is_there_or_not(
    photo_rows: list[EncodedRow], rendered_rows: list[EncodedRow]
) -> None:
    for rows in (photo_rows, [*photo_rows, *rendered_rows]):
        assert sorted(epoch_order(rows, seed=0, epoch=0, shares={"rendered": 0.0})) == list(range(11))


@pytest.mark.parametrize("world_size", [2, 3, 4, 7])
def test_several_ranks_together_see_exactly_what_one_rank_would(photo_rows: list[EncodedRow], world_size: int) -> None:
    order = epoch_order(photo_rows, seed=1, epoch=0)
    alone = _batches(photo_rows, order)
    parts = [_batches(photo_rows, order, ranks=Ranks(rank, world_size)) for rank in range(world_size)]
    shares = [[len(batch.photos) for batch in part] for part in parts]
    assert (
        shares
        == {2: [[2, 2]] * 2, 3: [[2, 2], [1, 1], [1, 1]], 4: [[1, 1]] * 4, 7: [[1, 1]] * 4 + [[0, 0]] * 3}[world_size]
    )
    together = [_joined(step) for step in zip(*parts, strict=True)]
    assert len(alone) == len(together) == 2
    assert all(map(_equal, alone, together))


def test_the_last_incomplete_batch_is_left_out(photo_rows: list[EncodedRow]) -> None:
    order = np.arange(11)
    assert [len(batch.photos) for batch in _batches(photo_rows, order)] == [4, 4]
    assert [len(batch.photos) for batch in _batches(photo_rows, order[:8])] == [4, 4]
    assert _batches(photo_rows, order[:3]) == []


def test_the_same_epoch_is_the_same_to_the_last_pixel(photo_rows: list[EncodedRow]) -> None:
    order = np.arange(11)
    assert all(map(_equal, _batches(photo_rows, order), _batches(photo_rows, order)))


def test_changes_differ_with_the_epoch_the_seed_and_the_place(photo_rows: list[EncodedRow]) -> None:
    repeated = np.zeros(4, np.int64)
    first = _batches(photo_rows, repeated)[0]
    for other in (_batches(photo_rows, repeated, epoch=1)[0], _batches(photo_rows, repeated, seed=2)[0]):
        assert not torch.equal(first.photos, other.photos)
    # one row drawn four times into a batch must not be four equal pictures
    assert len({tuple(photo.flatten().tolist()) for photo in first.photos}) == 4


@pytest.mark.parametrize("threads", [1, 3])
def test_prefetching_in_threads_changes_nothing(photo_rows: list[EncodedRow], threads: int) -> None:
    order = np.arange(11).repeat(4)
    alone, prefetched = _batches(photo_rows, order), _batches(photo_rows, order, threads=threads)
    assert len(alone) == len(prefetched) == 11
    assert all(map(_equal, alone, prefetched))
    validation = [list(eval_batches(photo_rows, batch_size=2, threads=number)) for number in (0, threads)]
    assert [len(batches) for batches in validation] == [6, 6]
    assert all(map(_equal, *validation))


def test_prefetching_ends_when_the_caller_stops_asking(photo_rows: list[EncodedRow]) -> None:
    windows = [Window(photo_rows, np.arange(8))]
    batches = train_batches(windows, batch_size=1, config=STRONG, seed=1, epoch=0, threads=2)
    assert isinstance(batches, Generator)
    next(batches)
    assert any(thread.name.startswith("dbd-ray-decode") for thread in threading.enumerate())
    batches.close()
    assert not any(thread.name.startswith("dbd-ray-decode") for thread in threading.enumerate())


def test_a_damaged_row_that_was_prefetched_is_named_at_its_turn(photo_rows: list[EncodedRow]) -> None:
    rows = [*photo_rows[:3], photo_rows[3]._replace(image=b"")]
    batches = iter(eval_batches(rows, batch_size=1, threads=4))
    assert [len(next(batches).photos) for _ in range(3)] == [1, 1, 1]
    with pytest.raises(DatasetError, match="row cuhk-003 is damaged"):
        next(batches)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pinned_batches_are_the_same_batches(photo_rows: list[EncodedRow]) -> None:
    order = np.arange(8)
    pinned = _batches(photo_rows, order, threads=2, pin=True)
    assert all(tensor.is_pinned() for batch in pinned for tensor in batch[:4])
    assert all(map(_equal, _batches(photo_rows, order), pinned))


def test_batches_hold_what_the_rows_do(photo_rows: list[EncodedRow]) -> None:
    (batch,) = eval_batches(photo_rows[:3], batch_size=8)
    assert (batch.photos.dtype, batch.photos.shape) == (torch.uint8, (3, 3, 64, 64))
    assert (batch.focus.dtype, batch.focus.shape) == (torch.float32, (3, 1, 64, 64))
    assert (batch.depth.dtype, batch.depth.shape) == (torch.float32, (3, 1, 64, 64))
    assert batch.has_depth.tolist() == [True, False, True]
    sample = decode_row(photo_rows[0])
    assert sample.depth is not None
    np.testing.assert_array_equal(batch.photos[0].permute(1, 2, 0).numpy(), sample.photo)
    np.testing.assert_array_equal(batch.focus[0, 0].numpy() * 255, sample.focus)
    np.testing.assert_array_equal(batch.depth[0, 0].numpy(), sample.depth)
    assert not batch.depth[1].any()


def test_validation_sees_every_row_once_in_order_and_unchanged(photo_rows: list[EncodedRow]) -> None:
    batches = list(eval_batches(photo_rows, batch_size=4))
    assert [len(batch.photos) for batch in batches] == [4, 4, 3]
    expected = collate([decode_row(row) for row in photo_rows])
    assert torch.equal(torch.cat([batch.photos for batch in batches]), expected.photos)
    assert list(eval_batches([], batch_size=4)) == []


def test_pictures_are_brought_to_the_size_that_the_network_sees(photo_rows: list[EncodedRow]) -> None:
    (whole,) = eval_batches(photo_rows[:3], batch_size=3)
    (small,) = eval_batches(photo_rows[:3], batch_size=3, size=(32, 48))
    assert small.photos.shape == (3, 3, 32, 48)
    assert small.focus.shape == small.depth.shape == (3, 1, 32, 48)
    assert small.focus.mean() == pytest.approx(whole.focus.mean().item(), abs=0.02)
    assert small.photos.float().mean() == pytest.approx(whole.photos.float().mean().item(), abs=1)
    drawn = _batches(photo_rows, np.arange(8), size=(32, 48))
    assert {tuple(batch.photos.shape) for batch in drawn} == {(4, 3, 32, 48)}


def test_masks_are_cut_at_half(photo_rows: list[EncodedRow]) -> None:
    sample = decode_row(photo_rows[0])
    levels = np.tile(np.array([0, 127, 128, 255], np.uint8), (64, 16))
    batch = collate([sample._replace(focus=levels)])
    np.testing.assert_array_equal(batch.focus[0, 0].numpy(), levels > 127)


def test_rows_have_one_order_however_they_are_delivered(photo_rows: list[EncodedRow]) -> None:
    rows = [*photo_rows, *(row._replace(source="dut") for row in photo_rows)]
    for seed in range(3):
        shuffled = [rows[index] for index in np.random.default_rng(seed).permutation(len(rows))]
        columns: dict[str, Sequence[Any]] = {
            name: [getattr(row, name) for row in shuffled] for name in EncodedRow._fields
        }
        assert rows_from_columns(columns) == sorted(rows, key=lambda row: (row.id, row.source))


def test_rows_that_share_id_and_source_have_one_order_too(rendered_rows: list[EncodedRow]) -> None:
    # two sets rendered with other seeds, one of them without depth
    twins = [row._replace(id="scene-0", depth=depth) for row in rendered_rows for depth in (row.depth, None)]
    columns: dict[str, Sequence[Any]] = {name: [getattr(row, name) for row in twins] for name in EncodedRow._fields}
    reversed_columns = {name: values[::-1] for name, values in columns.items()}
    assert rows_from_columns(columns) == rows_from_columns(reversed_columns)


def test_a_damaged_row_is_named(photo_rows: list[EncodedRow]) -> None:
    row = photo_rows[0]
    assert row.depth is not None
    for damaged in (row._replace(image=b""), row._replace(image=row.image[:40]), row._replace(depth=row.mask)):
        with pytest.raises(DatasetError, match=r"row cuhk-000 is damaged"):
            decode_row(damaged)
    with pytest.raises(DatasetError, match=r"row cuhk-000 is damaged"):
        decode_row(row._replace(mask=b"no picture"))
