"""A hard mask grows and shrinks by pixels, and lies as a photo's file stores its pixels."""

import numpy as np

from dbd_ray.images.masks import cut_mask, exif_orientation


def test_a_margin_grows_what_is_in_focus_and_a_negative_one_shrinks_it_but_not_along_the_frame() -> None:
    focus = np.zeros((20, 60), np.float32)
    focus[:, :30] = 0.8
    widths = {margin: cut_mask(focus, threshold=0.5, margin=margin).sum(axis=1) for margin in (-4, 0, 4)}
    assert {margin: set(found.tolist()) for margin, found in widths.items()} == {-4: {26}, 0: {30}, 4: {34}}


def test_a_map_of_one_kind_stays_so_whatever_the_margin() -> None:
    for level in (0.0, 1.0):
        for margin in (-9, 9):
            made = cut_mask(np.full((8, 8), level, np.float32), threshold=0.5, margin=margin)
            assert made.all() == made.any() == bool(level)


def test_an_orientation_that_makes_no_sense_is_upright() -> None:
    assert [exif_orientation({0x0112: value}) for value in (6, 0, 9, "6", None)] == [6, 1, 1, 1, 1]
