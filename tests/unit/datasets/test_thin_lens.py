"""Promises of the thin-lens renderer."""

import cv2
import numpy as np
import pytest

from dbd_ray.datasets.compositing import slice_edges
from dbd_ray.datasets.thin_lens import Lens, RenderedScene, circle_of_confusion_px, relative_depth, render_defocus
from dbd_ray.errors import ConfigError
from dbd_ray.images.disc import disc_kernel
from dbd_ray.images.srgb import linear_to_srgb, srgb_to_linear

# f = 50 mm at f/2 on 2.05 m: c at infinity = 25 mm * 50 / 2000 = 0.625 mm, on pixels of 62.5 um exactly 10
LENS = Lens(focal_length_mm=50, f_number=2, focus_distance_m=2.05, pixel_pitch_um=62.5)


def depth_of_coc(coc_px: np.ndarray | float) -> np.ndarray:
    """Distances whose CoC through LENS is the given one (below 10)."""
    return np.asarray(2.05 / (1 - np.asarray(coc_px) / 10), np.float32)


def render(image: np.ndarray, coc_px: np.ndarray) -> RenderedScene:
    return render_defocus(image, depth_of_coc(coc_px), LENS)


def noise(size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)


def test_coc_has_hand_computed_values() -> None:
    depth = np.array([[2.05, 4.10, np.inf, 1.025]], np.float32)
    coc = circle_of_confusion_px(depth, LENS)
    assert coc.dtype == np.float32
    np.testing.assert_allclose(coc, [[0, 5, 10, -10]], atol=1e-5)


def test_coc_shrinks_with_the_aperture_and_the_pixel_count() -> None:
    depth = np.full((2, 2), 4.10, np.float32)
    np.testing.assert_allclose(circle_of_confusion_px(depth, Lens(50, 4, 2.05, 62.5)), 2.5, rtol=1e-5)
    np.testing.assert_allclose(circle_of_confusion_px(depth, Lens(50, 2, 2.05, 125)), 2.5, rtol=1e-5)


@pytest.mark.parametrize("changed", ["focal_length_mm", "f_number", "focus_distance_m", "pixel_pitch_um"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_lens_is_refused_by_field(changed: str, value: float) -> None:
    values = {"focal_length_mm": 50, "f_number": 2, "focus_distance_m": 2, "pixel_pitch_um": 100, changed: value}
    with pytest.raises(ConfigError, match=changed):
        Lens(**values)


def test_a_lens_cannot_focus_within_its_focal_length() -> None:
    with pytest.raises(ConfigError, match="focus_distance_m"):
        Lens(50, 2, 0.05, 100)


@pytest.mark.parametrize("level", [0, 3, 128, 255])
def test_a_constant_picture_stays_constant(level: int) -> None:
    coc = np.tile(np.linspace(-18, 9, 64), (64, 1))
    coc[20:40, 20:40] = -25
    photo = render(np.full((64, 64, 3), level, np.uint8), coc).photo
    assert np.abs(photo.astype(int) - level).max() <= 1


def test_a_picture_in_focus_stays_as_it_is() -> None:
    scene = render(noise(), np.zeros((64, 64)))
    assert np.abs(scene.photo.astype(int) - noise()).max() <= 1
    assert scene.focus.all()


@pytest.mark.parametrize("coc", [-9.0, -4.0, 3.0, 8.0])
def test_a_lone_point_becomes_a_disc_of_the_coc_with_all_its_light(coc: float) -> None:
    image = np.zeros((65, 65, 3), np.uint8)
    image[32, 32] = 255
    scene = render(image, np.full((65, 65), coc))
    light = srgb_to_linear(scene.photo)[..., 0]
    assert light.sum() == pytest.approx(1, rel=0.02)
    y, x = np.nonzero(light)
    assert np.hypot(y - 32, x - 32).max() <= abs(coc) / 2 + 0.75
    # area of the disc from its evenly lit middle: light per pixel is 1 / area
    assert 1 / light[32, 32] == pytest.approx(np.pi / 4 * coc**2, rel=0.05)


def test_a_sharp_foreground_keeps_its_edge_before_a_blurred_background() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0] = 255  # a red background
    image[:, 32:] = (0, 0, 255)
    coc = np.full((64, 64), 8.0)
    coc[:, 32:] = 0
    photo = render(image, coc).photo
    assert (photo[:, :32] == (255, 0, 0)).all()
    assert (photo[:, 32:] == (0, 0, 255)).all()


def test_a_blurred_foreground_spreads_over_a_sharp_background() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, :32] = (255, 0, 0)
    image[:, 32:] = (0, 0, 255)
    coc = np.zeros((64, 64))
    coc[:, 32:] = -12
    light = srgb_to_linear(render(image, coc).photo)
    blue = light[32, :, 2]
    # half of the disc is covered at the edge, and the background shows through inside it
    assert blue[31:33].mean() == pytest.approx(0.5, abs=0.02)
    assert (np.diff(blue[24:41]) >= -1e-3).all()
    assert blue[25] < 0.01 and blue[38] > 0.99
    np.testing.assert_allclose(light[32, :, 0] + blue, 1, atol=0.02)


def test_the_background_behind_a_blurred_rim_continues_the_visible_one() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::8] = stripes[1::8] = stripes[2::8] = stripes[3::8] = (0, 255, 0)
    stripes[:, 32:] = (255, 0, 0)
    coc = np.zeros((64, 64))
    coc[:, 32:] = -12
    light = srgb_to_linear(render(stripes, coc).photo)
    # just inside the rim, rows with a green stripe show green and the others none
    assert light[33, 33, 1] > 0.3
    assert light[37, 33, 1] < 0.01


def test_what_is_mirrored_behind_a_rim_lies_as_far_behind_the_edge_as_before_it() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 26:28] = (0, 255, 0)
    image[:, 32:] = (255, 0, 0)
    coc = np.zeros((64, 64))
    coc[:, 32:] = -24
    green = srgb_to_linear(render(image, coc).photo)[32, :, 1]
    assert green[36:38].min() > 0.1
    assert green[32:35].max() < 0.01


def test_a_slanted_plane_blurs_as_if_each_pixel_were_spread_alone() -> None:
    size, pad = 64, 20
    image = cv2.resize(noise(16), (size, size), interpolation=cv2.INTER_CUBIC)
    coc = np.tile(np.linspace(-8, 7, size), (size, 1))
    light = srgb_to_linear(image)
    spread = np.zeros((size + 2 * pad, size + 2 * pad, 4))
    for y, x in np.ndindex(size, size):
        disc = disc_kernel(abs(float(coc[y, x])))
        reach = len(disc) // 2
        window = spread[y + pad - reach : y + pad + reach + 1, x + pad - reach : x + pad + reach + 1]
        window += disc[..., None] * np.append(light[y, x], 1)
    expected = (spread[..., :3] / spread[..., 3:].clip(1e-9))[pad:-pad, pad:-pad]
    difference = np.abs(srgb_to_linear(render(image, coc).photo) - expected)[8:-8, 8:-8]
    assert difference.mean() < 0.012


def test_a_slanted_plane_has_no_seams_and_lets_nothing_through() -> None:
    coc = np.tile(np.linspace(-16, 9.5, 96), (96, 1))
    image = np.full((96, 96, 3), (40, 90, 160), np.uint8)
    coc[:8] = 9.5
    image[:8] = 255  # a bright wall far behind the plane
    photo = render(image, coc).photo
    assert np.abs(photo[30:].astype(int) - (40, 90, 160)).max() <= 1


def test_focus_is_where_the_coc_is_below_the_stated_threshold() -> None:
    coc = np.tile(np.array([-3.0, -1.9, 0.0, 1.9, 3.0]), (16, 4))
    scene = render(noise()[:16, :20], coc)
    np.testing.assert_array_equal(scene.focus, np.abs(coc) < 2)
    wider = render_defocus(noise()[:16, :20], depth_of_coc(coc), LENS, focus_threshold_px=4)
    assert wider.focus.all()
    np.testing.assert_allclose(scene.coc_px, coc, atol=1e-4)


def test_relative_depth_is_0_near_and_1_far_and_linear_in_inverse_distance() -> None:
    depth = relative_depth(np.array([[1, 2, np.inf]], np.float32))
    np.testing.assert_allclose(depth, [[0, 0.5, 1]], atol=1e-6)
    assert depth.dtype == np.float32
    assert (relative_depth(np.full((2, 2), 3, np.float32)) == 0).all()


def test_rendering_keeps_to_the_contract_of_types() -> None:
    image = noise()
    before = image.copy()
    scene = render(image, np.linspace(-5, 5, 64 * 64).reshape(64, 64))
    np.testing.assert_array_equal(image, before)
    assert (scene.photo.dtype, scene.photo.shape) == (np.uint8, (64, 64, 3))
    assert (scene.focus.dtype, scene.coc_px.dtype) == (np.bool_, np.float32)
    assert (scene.depth.dtype, scene.depth_m.dtype) == (np.float32, np.float32)
    assert scene.lens == LENS


def test_wrong_inputs_are_named() -> None:
    image, depth = noise(16), np.ones((16, 16), np.float32)
    with pytest.raises(ConfigError, match="same size"):
        render_defocus(image, depth[:8], LENS)
    with pytest.raises(ConfigError, match="depth_m"):
        render_defocus(image, np.zeros((16, 16), np.float32), LENS)
    with pytest.raises(ConfigError, match="depth_m"):
        render_defocus(image, np.full((16, 16), np.nan, np.float32), LENS)
    with pytest.raises(ConfigError, match="focus_threshold_px"):
        render_defocus(image, depth, LENS, focus_threshold_px=0)


def test_srgb_survives_the_way_to_linear_light_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(linear_to_srgb(srgb_to_linear(levels)), levels)
    assert srgb_to_linear(np.array([188], np.uint8))[0] == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("diameter", [0.0, 1.0, 2.0, 3.3, 10.0, 24.5])
def test_a_disc_has_its_diameter_and_sums_to_one(diameter: float) -> None:
    kernel = disc_kernel(diameter)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1])
    assert len(kernel) == (1 if diameter <= 1 else 2 * int(np.ceil(diameter / 2 - 0.5)) + 1)


def test_slices_are_at_most_one_pixel_of_radius_wide() -> None:
    edges = slice_edges(-40, 12)
    assert edges[0] <= -40 and edges[-1] >= 12
    assert np.diff(edges).max() <= 2 + 1e-9
