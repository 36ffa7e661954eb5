"""Changes that a camera makes: what is out of focus, too bright or dark, noisy, or short of detail."""

from typing import Any

import cv2
import numpy as np
import pytest

from dbd_ray.config import AugmentConfig
from dbd_ray.images.srgb import srgb_to_linear
from dbd_ray.training.augment import DEFOCUS_RADIUS, Sample, augment

SIDE = 96
MANY = 200


@pytest.fixture(scope="module")
def sample() -> Sample:
    """A detailed photo, of which the left half is in focus, with depth."""
    rng = np.random.default_rng(0)
    photo = cv2.GaussianBlur(rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.float32), (0, 0), 1)
    photo = (128 + (photo - 128) * 2).clip(20, 235).astype(np.uint8)
    focus = np.zeros((SIDE, SIDE), np.uint8)
    focus[:, : SIDE // 2] = 255
    return Sample(photo, focus, rng.random((SIDE, SIDE), np.float32))


def _changed(sample: Sample, count: int = MANY, **settings: Any) -> list[Sample]:
    """Those of many draws that differ from the picture."""
    drawn = [augment(sample, AugmentConfig(**settings), np.random.default_rng(seed)) for seed in range(count)]
    return [one for one in drawn if not np.array_equal(one.photo, sample.photo)]


def _detail(photo: np.ndarray) -> float:
    return float(cv2.Laplacian(photo.astype(np.float32), cv2.CV_32F).std())


@pytest.mark.parametrize(
    ("setting", "value"),
    [("rotate_degrees", 30), ("exposure_stops", 2), ("noise", 0.1), ("shrink", 0.4), ("defocus_probability", 0.5)],
)
def test_each_change_is_a_function_of_the_generator_alone(sample: Sample, setting: str, value: float) -> None:
    config = AugmentConfig.model_validate({setting: value})
    pictures = set()
    for seed in range(20):
        one, same = (augment(sample, config, np.random.default_rng(seed)) for _ in range(2))
        for plane, again in zip(one, same, strict=True):
            np.testing.assert_array_equal(plane, again)
        pictures.add(one.photo.tobytes())
    assert 3 < len(pictures) < 20  # each draw its own, and some left as they are


def test_a_defocused_picture_has_nothing_in_focus_but_its_depth(sample: Sample) -> None:
    for one in _changed(sample, 30, defocus_probability=1):
        assert not one.focus.any()
        assert one.depth is sample.depth
        assert _detail(one.photo) < _detail(sample.photo) * 0.4
        # light is spread, not lost
        assert srgb_to_linear(one.photo).mean() == pytest.approx(srgb_to_linear(sample.photo).mean(), rel=0.03)
    assert sample.focus.any()


def test_a_small_picture_goes_out_of_focus_as_well(sample: Sample) -> None:
    small = Sample(sample.photo[:32, :32].copy(), sample.focus[:32, :32].copy(), None)
    for one in _changed(small, 30, defocus_probability=1):
        assert not one.focus.any()
        assert _detail(one.photo) < _detail(small.photo) * 0.4


def test_pictures_are_defocused_as_often_as_configured(sample: Sample) -> None:
    changed = _changed(sample, defocus_probability=0.25)
    assert 30 < len(changed) < 75
    assert len(_changed(sample, 20, defocus_probability=1)) == 20


def test_a_point_of_light_becomes_a_disc_whose_radius_is_a_share_of_the_longer_side() -> None:
    point = np.zeros((100, 300, 3), np.uint8)
    point[48:53, 148:153] = 255
    dark = Sample(point, np.full((100, 300), 255, np.uint8), None)
    reaches = []
    for seed in range(30):
        one = augment(dark, AugmentConfig(defocus_probability=1), np.random.default_rng(seed))
        lit = np.flatnonzero(one.photo.any(axis=(0, 2)))
        reaches.append((np.ptp(lit) - 4) / 2 / 300)
        assert np.ptp(np.flatnonzero(one.photo.any(axis=(1, 2)))) == np.ptp(lit)
    assert DEFOCUS_RADIUS[0] - 1 / 300 <= min(reaches) < max(reaches) <= DEFOCUS_RADIUS[1]
    assert max(reaches) > 2 * min(reaches)


def test_exposure_is_a_factor_of_light_of_at_most_the_configured_stops(sample: Sample) -> None:
    before = srgb_to_linear(sample.photo)
    stops = []
    for one in _changed(sample, exposure_stops=1.5):
        assert one.focus is sample.focus
        assert one.depth is sample.depth
        # bright enough for 8 bits to tell, and not clipped
        known = (sample.photo > 100) & (one.photo > 60) & (one.photo < 250)
        factors = np.log2(srgb_to_linear(one.photo[known]) / before[known])
        assert np.ptp(factors) < 0.1
        stops.append(float(factors.mean()))
    assert 35 < len(stops) < 90
    assert -1.55 < min(stops) < -1.3
    assert 1.3 < max(stops) < 1.55


def test_noise_spreads_by_at_most_what_is_configured_around_the_true_light(sample: Sample) -> None:
    gray = sample._replace(photo=np.full((SIDE, SIDE, 3), 128, np.uint8))
    spreads = []
    for one in _changed(gray, noise=0.08):
        assert one.focus is gray.focus
        assert one.depth is gray.depth
        noise = one.photo.astype(float) - 128
        assert abs(noise.mean()) < 1
        # each pixel and each colour for itself
        assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.05
        assert abs(np.corrcoef(noise[:, :, 0].ravel(), noise[:, :, 1].ravel())[0, 1]) < 0.05
        spreads.append(float(noise.std()) / 255)
    assert 35 < len(spreads) < 90
    assert max(spreads) < 0.08 * 1.03
    assert min(spreads) < 0.02 < 0.06 < max(spreads)


def test_noise_does_not_wrap_round_in_black_and_white(sample: Sample) -> None:
    half = np.zeros((SIDE, SIDE, 3), np.uint8)
    half[:, SIDE // 2 :] = 255
    for one in _changed(sample._replace(photo=half), 30, noise=0.1):
        assert one.photo[:, : SIDE // 2].max() < 128
        assert one.photo[:, SIDE // 2 :].min() > 127


def test_a_shrunken_picture_loses_detail_and_keeps_its_size_and_labels(sample: Sample) -> None:
    changed = _changed(sample, shrink=0.4)
    assert 35 < len(changed) < 90
    for one in changed:
        assert (one.photo.shape, one.photo.dtype) == (sample.photo.shape, np.uint8)
        assert one.focus is sample.focus
        assert one.depth is sample.depth
        assert _detail(one.photo) < _detail(sample.photo)
        np.testing.assert_allclose(one.photo.mean((0, 1)), sample.photo.mean((0, 1)), atol=1)
    assert min(_detail(one.photo) for one in changed) < _detail(sample.photo) / 3
    slightly = _changed(sample, shrink=0.9)
    assert min(_detail(one.photo) for one in slightly) > min(_detail(one.photo) for one in changed)


@pytest.mark.parametrize(
    "settings",
    [
        {"rotate_degrees": 181},
        {"exposure_stops": -1},
        {"noise": 0.6},
        {"shrink": 0},
        {"shrink": 1.1},
        {"defocus_probability": 1.5},
        {"paste_probability": -0.1},
    ],
)
def test_strengths_that_no_picture_survives_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        AugmentConfig.model_validate(settings)
