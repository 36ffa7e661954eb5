"""Overlays show a photographer where the focus is."""

import numpy as np
import pytest

from dbd_ray.images.overlay import Colormap, colourize, overlay

PHOTO = np.random.default_rng(0).integers(60, 256, (80, 120, 3), np.uint8)


def right_half() -> np.ndarray:
    focus = np.zeros((80, 120), np.float32)
    focus[:, 60:] = 1
    return focus


def test_sharp_parts_are_left_alone() -> None:
    picture = overlay(PHOTO, right_half())
    assert picture.dtype == np.uint8
    assert np.array_equal(picture[:, 64:], PHOTO[:, 64:])


def test_out_of_focus_parts_grow_dark_and_gray() -> None:
    blurred = overlay(PHOTO, right_half(), opacity=0.6)[:, :56].astype(int)
    assert np.ptp(blurred, axis=2).max() == 0
    assert blurred.mean() == pytest.approx(0.4 * PHOTO[:, :56].mean(), rel=0.1)


def test_a_bright_line_runs_between_them_and_not_along_the_frame() -> None:
    black = np.zeros((80, 120, 3), np.uint8)
    bright = overlay(black, right_half()).max(axis=2) > 150
    assert bright[1:-1, 57:63].any(axis=1).all()
    assert not bright[:, :56].any()
    assert not bright[:, 64:].any()


def test_the_line_grows_with_the_picture() -> None:
    focus = np.zeros((1600, 400), bool)
    focus[800:] = True
    small = overlay(np.zeros((400, 400, 3), np.uint8), focus[600:1000])
    large = overlay(np.zeros((1600, 1600, 3), np.uint8), np.repeat(focus, 4, axis=1))
    assert (large[:, 700].max(axis=1) > 150).sum() > (small[:, 200].max(axis=1) > 150).sum() > 0


def test_nothing_in_focus_has_no_line_and_all_in_focus_is_the_photo() -> None:
    assert np.array_equal(overlay(PHOTO, np.ones((80, 120), np.float32)), PHOTO)
    dark = overlay(PHOTO, np.zeros((80, 120), np.float32), opacity=1.0)
    assert not dark.any()


def test_the_photo_itself_is_not_painted_on() -> None:
    before = PHOTO.copy()
    overlay(PHOTO, right_half())
    assert np.array_equal(PHOTO, before)


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="refine"):
        overlay(PHOTO, np.zeros((40, 60), np.float32))
    with pytest.raises(ValueError, match="opacity"):
        overlay(PHOTO, right_half(), opacity=2)


@pytest.mark.parametrize("colormap", ["viridis", "turbo", "magma"])
def test_colours_tell_values_apart(colormap: Colormap) -> None:
    ramp = np.linspace(0, 1, 5, dtype=np.float32)[None].repeat(3, axis=0)
    colours = colourize(ramp, colormap)
    assert colours.shape == (3, 5, 3)
    assert colours.dtype == np.uint8
    assert len({tuple(colour) for colour in colours[0]}) == 5


def test_viridis_runs_from_violet_to_yellow_in_rgb() -> None:
    low, high = colourize(np.array([[0.0, 1.0]]))[0].tolist()
    assert low[2] > low[1]
    assert high[0] > 200 > 100 > high[2]
