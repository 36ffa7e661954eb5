import numpy as np
import pytest

from dbd_ray.config import AugmentConfig
from dbd_ray.training.augment import Sample, augment
from dbd_ray.training.ranks import Ranks
from dbd_ray.training.samples import EncodedRow, Window, train_batches

SIDE = 64
PASTE = AugmentConfig(paste_probability=1)
CHECKS = np.indices((SIDE, SIDE)).sum(0) // 4 % 2 * 255  # as sharp as a picture can be


def _picture(level: int, in_focus: slice) -> Sample:
    focus = np.zeros((SIDE, SIDE), np.uint8)
    focus[in_focus] = 255
    return Sample(np.full((SIDE, SIDE, 3), level, np.uint8), focus, np.zeros((SIDE, SIDE), np.float32))


def _pasted(front: Sample, back: Sample, *, count: int = 40, config: AugmentConfig = PASTE) -> list[Sample]:
    rngs = [np.random.default_rng(seed) for seed in range(count)]
    return [augment(front, config, rng, behind=lambda rng: back) for rng in rngs]


@pytest.fixture
def front() -> Sample:
    return _picture(200, slice(0, 20))


@pytest.fixture
def back() -> Sample:
    return _picture(50, slice(40, None))._replace(photo=np.repeat(CHECKS[..., None], 3, axis=2).astype(np.uint8))


def test_what_is_in_focus_lies_before_another_picture(front: Sample, back: Sample) -> None:
    for one in _pasted(front, back):
        assert (one.photo[:17] == 200).all()
        assert (one.focus[:20] == 255).all()
        assert not one.focus[20:40].any()
        assert one.depth is None  # depths of two pictures have no common scale


def test_the_picture_behind_is_out_of_focus_half_of_the_time_and_its_mask_with_it(front: Sample, back: Sample) -> None:
    changed = _pasted(front, back, count=200)
    kept = [one for one in changed if (one.focus[40:] == 255).all()]
    lost = [one for one in changed if not one.focus[40:].any()]
    assert len(kept) + len(lost) == 200
    assert 70 < len(kept) < 130
    for one in kept:
        np.testing.assert_array_equal(one.photo[30:], back.photo[30:])
    for one in lost:
        assert np.ptp(one.photo[30:]) < 200


def test_the_one_with_less_in_focus_lies_in_front(front: Sample) -> None:
    whole = _picture(50, slice(None))
    for changed in (_pasted(front, whole), _pasted(whole, front)):
        for one in changed:
            assert (one.photo[:17] == 200).all()
            assert (one.photo[30:] == 50).all()


def test_the_seam_is_soft(front: Sample, back: Sample) -> None:
    plain = back._replace(photo=np.zeros_like(back.photo))
    for one in _pasted(front, plain, count=5):
        rows = one.photo[:, 0, 0].astype(int)
        assert (np.diff(rows) <= 0).all()
        assert 0 < rows[20] < rows[19] < 200


def test_pictures_are_pasted_as_often_as_configured(front: Sample, back: Sample) -> None:
    changed = _pasted(front, back, count=200, config=AugmentConfig(paste_probability=0.25))
    assert 30 < sum(one.depth is None for one in changed) < 70
    same = augment(front, PASTE, np.random.default_rng(0))  # no other picture to be had
    assert same.depth is front.depth


def test_batches_draw_the_other_picture_from_all_rows_whatever_the_number_of_workers(
    photo_rows: list[EncodedRow],
) -> None:
    def photos(rank: int, world_size: int, config: AugmentConfig = PASTE) -> np.ndarray:
        windows = [Window(photo_rows, np.arange(8))]
        ranks = Ranks(rank, world_size)
        batches = train_batches(windows, batch_size=4, config=config, seed=1, epoch=0, ranks=ranks)
        return np.stack([batch.photos.numpy() for batch in batches])

    alone = photos(0, 1)
    np.testing.assert_array_equal(alone, np.concatenate([photos(0, 2), photos(1, 2)], axis=1))
    assert not np.array_equal(alone, photos(0, 1, AugmentConfig()))
