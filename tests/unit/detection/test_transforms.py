"""Promises of the network's maps of several pictures."""

import numpy as np
import pytest

from dbd_ray.detection.transforms import PhotoMaps


def _maps(pictures: int, *, depth: bool) -> PhotoMaps:
    values = np.random.default_rng(0).random((2, pictures, 3, 4), np.float32)
    return PhotoMaps(values[0], values[1] if depth else None)


@pytest.mark.parametrize("depth", [True, False])
def test_parts_put_together_are_the_whole(depth: bool) -> None:
    whole = _maps(5, depth=depth)
    joined = PhotoMaps.join([whole.part(0, 2), whole.part(2, 3), whole.part(3, 5)])
    assert np.array_equal(joined.focus, whole.focus)
    assert (joined.depth is not None) == depth
    if joined.depth is not None and whole.depth is not None:
        assert np.array_equal(joined.depth, whole.depth)


def test_a_part_and_a_single_part_are_not_copied() -> None:
    whole = _maps(3, depth=True)
    part = whole.part(1, 2)
    assert part.focus.shape == (1, 3, 4)
    assert np.shares_memory(part.focus, whole.focus)
    assert PhotoMaps.join([whole]) is whole
