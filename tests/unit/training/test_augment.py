import io

import cv2
import numpy as np
import pytest
from PIL import Image

from dbd_ray.config import AugmentConfig
from dbd_ray.training.augment import Sample, augment, decode_plain

EVERYTHING = AugmentConfig(
    flip=True,
    crop_min_scale=0.5,
    colour=0.4,
    gray_probability=0.5,
    jpeg_probability=0.5,
    rotate_degrees=180,
    exposure_stops=2,
    noise=0.1,
    shrink=0.3,
    defocus_probability=0.5,
    paste_probability=0.5,
)
HALF = (30, 40)  # of `_coordinates`: crops are never enlarged


def _coordinates(height: int = 60, width: int = 80) -> Sample:
    """A picture in which every plane says where it came from: x in the mask, in the photo's red and in the depth."""
    x = np.broadcast_to(np.linspace(0, 255, width), (height, width))
    y = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
    levels = np.rint(x).astype(np.uint8)
    photo = np.stack([levels, np.rint(y).astype(np.uint8), levels], axis=2)
    return Sample(photo, levels.copy(), (x / 255).astype(np.float32))


def _assert_equal(one: Sample, other: Sample) -> None:
    for plane, same in zip(one, other, strict=True):
        assert plane is not None
        assert same is not None
        np.testing.assert_array_equal(plane, same)


def _rngs(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(count)]


def test_the_default_leaves_the_picture_as_it_is() -> None:
    sample = _coordinates()
    for rng in _rngs(5):
        same = augment(sample, AugmentConfig(), rng)
        _assert_equal(same, sample)


def test_photo_mask_and_depth_are_flipped_and_cropped_together() -> None:
    config = AugmentConfig(flip=True, crop_min_scale=0.5)
    for rng in _rngs(20):
        changed = augment(_coordinates(), config, rng, HALF)
        assert changed.depth is not None
        np.testing.assert_array_equal(changed.photo[:, :, 0], changed.focus)
        np.testing.assert_allclose(changed.depth * 255, changed.focus, atol=1.5)


def test_half_of_the_pictures_are_mirrored() -> None:
    config = AugmentConfig(flip=True)
    sample = _coordinates()
    mirrored = 0
    for rng in _rngs(200):
        changed = augment(sample, config, rng)
        if not np.array_equal(changed.photo, sample.photo):
            np.testing.assert_array_equal(changed.photo, sample.photo[:, ::-1])
            np.testing.assert_array_equal(changed.focus, sample.focus[:, ::-1])
            mirrored += 1
    assert 70 < mirrored < 130


def test_a_crop_zooms_in_by_up_to_the_configured_scale_and_keeps_the_aspect_ratio() -> None:
    sample = _coordinates()
    assert sample.depth is not None
    spans = []
    for rng in _rngs(100):
        changed = augment(sample, AugmentConfig(crop_min_scale=0.5), rng, HALF)
        assert changed.depth is not None
        assert (changed.photo.shape, changed.focus.shape) == ((*HALF, 3), HALF)
        across = float(np.ptp(changed.depth))
        down = float(np.ptp(changed.photo[:, :, 1])) / 255
        assert down == pytest.approx(across, abs=0.04)
        spans.append(across)
    assert 0.48 < min(spans) < 0.55
    assert 0.95 < max(spans) <= 1


@pytest.mark.parametrize(("size", "smallest"), [((60, 80), 1.0), ((54, 64), 0.9), ((48, 72), 0.9), ((15, 20), 0.5)])
def test_a_crop_is_never_enlarged_since_that_would_blur_what_its_mask_calls_sharp(
    size: tuple[int, int], smallest: float
) -> None:
    sample = _coordinates()
    config = AugmentConfig(crop_min_scale=0.5)
    spans = [float(np.ptp(augment(sample, config, rng, size).photo[:, :, 1])) / 255 for rng in _rngs(100)]
    assert min(spans) == pytest.approx(smallest, abs=0.06)
    assert min(spans) > smallest - 0.06


def test_crops_come_from_everywhere() -> None:
    config = AugmentConfig(crop_min_scale=0.5)
    lefts = [augment(_coordinates(), config, rng, HALF).focus[0, 0] / 255 for rng in _rngs(100)]
    assert min(lefts) < 0.02
    assert max(lefts) > 0.4


def test_a_turn_keeps_photo_mask_and_depth_together_within_the_configured_angle() -> None:
    sample = _coordinates(80, 80)
    degrees = []
    for rng in _rngs(300):
        turned = augment(sample, AugmentConfig(rotate_degrees=20), rng)
        assert turned.depth is not None
        assert (turned.photo.shape, turned.focus.shape) == (sample.photo.shape, sample.focus.shape)
        np.testing.assert_allclose(turned.photo[:, :, 0].astype(float), turned.focus, atol=1)
        np.testing.assert_allclose(turned.depth * 255, turned.focus, atol=1.5)
        down, across = (slope[30:50, 30:50].mean() for slope in np.gradient(turned.depth))
        degrees.append(float(np.rad2deg(np.arctan2(down, across))))
    changed = [angle for angle in degrees if abs(angle) > 0.1]
    assert 50 < len(changed) < 140  # a part of the pictures: interpolation costs detail, of which focus is judged
    assert -20.5 < min(changed) < -16
    assert 16 < max(changed) < 20.5


def test_a_turn_invents_neither_black_nor_blurred_corners() -> None:
    white = Sample(np.full((40, 60, 3), 200, np.uint8), np.full((40, 60), 255, np.uint8), np.ones((40, 60), np.float32))
    for rng in _rngs(20):
        turned = augment(white, AugmentConfig(rotate_degrees=180), rng)
        _assert_equal(turned, white)


def test_a_picture_of_one_pixel_survives_everything() -> None:
    sample = Sample(np.full((1, 1, 3), 7, np.uint8), np.full((1, 1), 255, np.uint8), np.ones((1, 1), np.float32))
    for rng in _rngs(30):
        assert augment(sample, EVERYTHING, rng).photo.shape == (1, 1, 3)


def test_colour_and_compression_change_the_photo_alone() -> None:
    sample = _coordinates()
    config = AugmentConfig(colour=0.4, gray_probability=0.5, jpeg_probability=1, jpeg_quality=(30, 30))
    for rng in _rngs(10):
        changed = augment(sample, config, rng)
        assert changed.focus is sample.focus
        assert changed.depth is sample.depth
        assert (changed.photo.dtype, changed.photo.shape) == (np.uint8, sample.photo.shape)
        assert not np.array_equal(changed.photo, sample.photo)


def test_colour_changes_brightness_contrast_and_saturation_both_ways() -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(60, 196, (32, 32, 3), dtype=np.uint8)
    sample = Sample(photo, np.zeros((32, 32), np.uint8), None)
    changed = [augment(sample, AugmentConfig(colour=0.4), rng).photo.astype(float) for rng in _rngs(60)]
    for measure in (np.mean, np.std, lambda one: np.ptp(one, axis=2).mean() / one.std()):
        values = np.array([measure(one) for one in changed])
        assert values.min() < measure(photo.astype(float)) < values.max()


def test_a_stronger_colour_setting_changes_more() -> None:
    photo = np.random.default_rng(0).integers(60, 196, (32, 32, 3), dtype=np.uint8)
    sample = Sample(photo, np.zeros((32, 32), np.uint8), None)

    def change(colour: float) -> float:
        changed = [augment(sample, AugmentConfig(colour=colour), rng).photo for rng in _rngs(30)]
        return float(np.mean([np.abs(one.astype(int) - photo).mean() for one in changed]))

    assert change(0.1) < change(0.3) < change(0.9)


def test_gray_pictures_come_as_often_as_configured() -> None:
    sample = _coordinates()
    grays = 0
    for rng in _rngs(300):
        photo = augment(sample, AugmentConfig(gray_probability=0.2), rng).photo
        grays += bool((photo == photo[:, :, :1]).all())
    assert 35 < grays < 90


def test_compression_keeps_the_order_of_colours_and_gets_coarser_with_lower_quality() -> None:
    # slopes and not noise: what JPEG loses there depends on the quality, and red must not come back as blue
    sample = Sample(
        np.stack([np.full((64, 64), 220), np.full((64, 64), 30), np.tile(np.arange(64) * 4, (64, 1))], axis=2).astype(
            np.uint8
        ),
        np.zeros((64, 64), np.uint8),
        None,
    )
    errors = []
    for quality in (95, 40, 5):
        config = AugmentConfig(jpeg_probability=1, jpeg_quality=(quality, quality))
        photo = augment(sample, config, np.random.default_rng(0)).photo
        errors.append(np.abs(photo.astype(int) - sample.photo).mean())
    assert errors[0] < 5
    assert errors[0] < errors[1] < errors[2]


def test_the_input_is_left_unchanged() -> None:
    sample = _coordinates()
    for plane in sample:
        assert plane is not None
        plane.setflags(write=False)
    for rng in _rngs(20):
        augment(sample, EVERYTHING, rng, HALF)
    untouched = _coordinates()
    _assert_equal(sample, untouched)


def test_the_same_seed_gives_the_same_picture_and_another_seed_another() -> None:
    one, same, other = (augment(_coordinates(), EVERYTHING, np.random.default_rng(seed), HALF) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one.photo, same.photo)
    np.testing.assert_array_equal(one.focus, same.focus)
    assert not np.array_equal(one.photo, other.photo)


def test_a_picture_without_depth_stays_without() -> None:
    sample = _coordinates()._replace(depth=None)
    assert augment(sample, EVERYTHING, np.random.default_rng(0)).depth is None


def test_plain_decoding_gives_the_same_rgb_as_pillow() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, "PNG")
    np.testing.assert_array_equal(decode_plain(np.frombuffer(stream.getvalue(), np.uint8)), photo)


@pytest.mark.parametrize("damaged", [b"", b"not a picture", cv2.imencode(".png", np.zeros((9, 9)))[1].tobytes()[:20]])
def test_plain_decoding_of_damaged_bytes_is_an_error(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be decoded"):
        decode_plain(np.frombuffer(damaged, np.uint8))
