"""Augmentation: random changes of a training picture, its focus mask and its depth, by a seeded generator."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from dbd_ray.config import AugmentConfig
from dbd_ray.datasets.thin_lens import FOCUS_THRESHOLD_PX
from dbd_ray.images.disc import disc_kernel
from dbd_ray.images.resize import resize_photo
from dbd_ray.images.srgb import linear_to_srgb, srgb_to_linear

CHANGED_SHARE = 0.3  # share of the pictures that a change is made to, the others stay free of it
PASTED_EDGE_PX = 1.0  # standard deviation of the blur of a pasted picture's edge
DEFOCUS_RADIUS = (0.008, 0.03)  # share of the longer side: 2.6 to 10 px at 320 px, where nobody sees focus


def decode_plain(encoded: np.ndarray) -> np.ndarray:
    """Decode a picture that we encoded ourselves, several times as fast as `images.decode_photo`.

    Args:
        encoded: uint8 bytes of a JPEG or PNG.

    Returns:
        uint8 RGB H×W×3.

    Raises:
        ValueError: The bytes are damaged.
    """
    photo = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB) if encoded.size else None  # no bytes would be a cv2.error
    if photo is None:
        raise ValueError("the picture cannot be decoded")
    return photo


class Sample(NamedTuple):
    """One labelled picture at training size.

    Attributes:
        photo: uint8 RGB H×W×3.
        focus: uint8 H×W, 255 = in focus.
        depth: float32 H×W in [0,1], 0 = near, 1 = far; None where the picture has no teacher's depth.
    """

    photo: np.ndarray
    focus: np.ndarray
    depth: np.ndarray | None


def augment(
    sample: Sample,
    config: AugmentConfig,
    rng: np.random.Generator,
    size: tuple[int, int] | None = None,
    behind: Callable[[np.random.Generator], Sample] | None = None,
) -> Sample:
    """Apply the configured changes; geometry is shared by photo, mask and depth.

    Args:
        sample: The picture as prepared; left unchanged.
        config: Which changes are made, and their strength.
        rng: Generator of all random numbers.
        size: (height, width) of the result, px; None: the picture's own.
        behind: Draws another picture, for `config.paste_probability`; None: nothing is pasted.
    """
    size = size or (sample.focus.shape[0], sample.focus.shape[1])
    sample = _framed(sample, config, rng, size)
    if behind and config.paste_probability and rng.random() < config.paste_probability:
        sample = _paste(sample, _framed(behind(rng), config, rng, size), rng)
    sample = _rotate(sample, config, rng)
    sample = _defocus(sample, config, rng)
    # in the order of a camera: lens and light, then the sensor's noise, then the file
    photo = _expose(_shrink(sample.photo, config, rng), config, rng)
    photo = _add_noise(_colour(photo, config, rng), config, rng)
    return sample._replace(photo=_jpeg(photo, config, rng))


def _framed(sample: Sample, config: AugmentConfig, rng: np.random.Generator, size: tuple[int, int]) -> Sample:
    return resize_sample(_crop(_flip(sample, config, rng), config, rng, size), size)


def _flip(sample: Sample, config: AugmentConfig, rng: np.random.Generator) -> Sample:
    if not config.flip or rng.random() < 0.5:
        return sample
    return _each_plane(sample, lambda plane: np.ascontiguousarray(plane[:, ::-1]))


def resize_sample(sample: Sample, size: tuple[int, int]) -> Sample:
    """Bring photo, mask and depth to (height, width), the photo as `images.resize` does for inference."""
    return _each_plane(sample, lambda plane: resize_photo(plane, size))


def _crop(sample: Sample, config: AugmentConfig, rng: np.random.Generator, size: tuple[int, int]) -> Sample:
    height, width = sample.focus.shape
    # enlarging a crop would blur what its mask calls sharp
    smallest = max(config.crop_min_scale, size[0] / height, size[1] / width)
    if smallest >= 1:
        return sample
    scale = rng.uniform(smallest, 1)
    crop_height, crop_width = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = rng.integers(height - crop_height + 1), rng.integers(width - crop_width + 1)
    return _each_plane(sample, lambda plane: plane[top : top + crop_height, left : left + crop_width])


def _paste(front: Sample, back: Sample, rng: np.random.Generator) -> Sample:
    """Lay what is in focus in one picture over another one, which half of the time goes out of focus as a whole."""
    if front.focus.mean() > back.focus.mean():
        front, back = back, front  # a picture wholly in focus would hide the other one
    if rng.random() < 0.5:
        back = _out_of_focus(back, rng)
    cover = cv2.GaussianBlur(front.focus, (0, 0), PASTED_EDGE_PX).astype(np.float32)[..., None] / 255
    light = cover * srgb_to_linear(front.photo) + (1 - cover) * srgb_to_linear(back.photo)
    # two pictures' depths have no common scale
    return Sample(linear_to_srgb(light), np.maximum(front.focus, back.focus), None)


def _rotate(sample: Sample, config: AugmentConfig, rng: np.random.Generator) -> Sample:
    if not config.rotate_degrees or rng.random() >= CHANGED_SHARE:
        return sample
    height, width = sample.focus.shape
    degrees = rng.uniform(-config.rotate_degrees, config.rotate_degrees)
    turn = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), degrees, 1.0)
    return _each_plane(
        sample, lambda plane: cv2.warpAffine(plane, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    )


def _defocus(sample: Sample, config: AugmentConfig, rng: np.random.Generator) -> Sample:
    if not config.defocus_probability or rng.random() >= config.defocus_probability:
        return sample
    return _out_of_focus(sample, rng)


def _out_of_focus(sample: Sample, rng: np.random.Generator) -> Sample:
    # in a small picture the share alone may be a disc of one pixel, which is sharp: here at least twice the threshold
    radius = max(rng.uniform(*DEFOCUS_RADIUS) * max(sample.focus.shape), FOCUS_THRESHOLD_PX)
    light = srgb_to_linear(sample.photo)
    light = cv2.filter2D(light, -1, disc_kernel(2 * radius), borderType=cv2.BORDER_REFLECT_101)
    return sample._replace(photo=linear_to_srgb(light), focus=np.zeros_like(sample.focus))


def _shrink(photo: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    if config.shrink == 1 or rng.random() >= CHANGED_SHARE:
        return photo
    height, width = photo.shape[:2]
    scale = rng.uniform(config.shrink, 1)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _expose(photo: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    if not config.exposure_stops or rng.random() >= CHANGED_SHARE:
        return photo
    gain = np.float32(2 ** rng.uniform(-config.exposure_stops, config.exposure_stops))
    levels = np.arange(256, dtype=np.uint8)[:, None]
    return cv2.LUT(photo, linear_to_srgb(srgb_to_linear(levels) * gain))


def _add_noise(photo: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    if not config.noise or rng.random() >= CHANGED_SHARE:
        return photo
    noise = rng.standard_normal(photo.shape, np.float32) * np.float32(255 * rng.uniform(0, config.noise))
    return np.rint(photo + noise).clip(0, 255).astype(np.uint8)


def _each_plane(sample: Sample, change: Callable[[np.ndarray], np.ndarray]) -> Sample:
    return Sample(change(sample.photo), change(sample.focus), None if sample.depth is None else change(sample.depth))


def _colour(photo: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    if config.gray_probability and rng.random() < config.gray_probability:
        photo = cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if not config.colour:
        return photo
    contrast, saturation = rng.uniform(1 - config.colour, 1 + config.colour, size=2)
    brightness = rng.uniform(-config.colour, config.colour) * 128
    gray = cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    photo = cv2.addWeighted(photo, saturation, gray, 1 - saturation, 0)
    levels = (np.arange(256) - 128) * contrast + 128 + brightness
    return cv2.LUT(photo, np.clip(levels, 0, 255).astype(np.uint8))


def _jpeg(photo: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    if not config.jpeg_probability or rng.random() >= config.jpeg_probability:
        return photo
    quality = int(rng.integers(config.jpeg_quality[0], config.jpeg_quality[1] + 1))
    _, encoded = cv2.imencode(".jpg", photo[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return decode_plain(encoded)
