"""What is written is what is read back."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dbd_ray.errors import PhotoError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_depth, decode_mask, encode_depth, encode_mask, encode_photo
from dbd_ray.names import Polarity

MAP = np.random.default_rng(0).random((30, 40), dtype=np.float32)


def png(image: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("polarity", ["focus", "blur"])
def test_masks_round_trip_in_either_polarity(polarity: Polarity) -> None:
    decoded = decode_mask(encode_mask(MAP, polarity=polarity), polarity=polarity)
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, np.rint(MAP * 255))


def test_polarity_inverts_what_is_written() -> None:
    in_focus = np.ones((2, 3), bool)
    assert np.asarray(Image.open(io.BytesIO(encode_mask(in_focus)))).tolist() == [[255] * 3] * 2
    assert np.asarray(Image.open(io.BytesIO(encode_mask(in_focus, polarity="blur")))).tolist() == [[0] * 3] * 2
    assert (decode_mask(encode_mask(in_focus), polarity="blur") == 0).all()


def test_masks_in_other_modes_are_read() -> None:
    half = np.zeros((4, 6), np.uint8)
    half[:, 3:] = 255
    gray = Image.fromarray(half)
    wide = Image.fromarray(half.astype(np.uint16) * 257)
    opaque = gray.convert("RGBA")
    for image in (gray, gray.convert("RGB"), gray.convert("1"), gray.convert("P"), gray.convert("LA"), opaque, wide):
        assert np.array_equal(decode_mask(png(image), polarity="focus"), half), image.mode


@pytest.mark.parametrize("colour", ["white", "black"])
def test_a_cut_out_is_read_from_its_transparency(colour: str) -> None:
    alpha = np.zeros((4, 6), np.uint8)
    alpha[1:3] = 255
    image = Image.new("RGBA", (6, 4), colour)
    image.putalpha(Image.fromarray(alpha))
    assert np.array_equal(decode_mask(png(image), polarity="focus"), alpha)


def test_transparency_that_says_otherwise_than_the_colours_is_refused() -> None:
    stored = np.array([[0, 255, 255, 0]], np.uint8)
    image = Image.fromarray(stored).convert("RGBA")
    image.putalpha(Image.fromarray(np.array([[0, 0, 255, 255]], np.uint8)))
    with pytest.raises(PhotoError, match="its brightness is one mask and its transparency another"):
        decode_mask(png(image), polarity="focus")


def test_a_colour_profile_does_not_change_a_masks_values(linear_gray: bytes) -> None:
    data = png(Image.new("L", (4, 4), 55), icc_profile=linear_gray)
    assert (decode_photo(data) > 100).all()
    assert (decode_mask(data, polarity="focus") == 55).all()


def test_a_mask_that_is_no_picture_is_a_photo_error() -> None:
    for data, reason in ((b"", "empty_file"), (b"text", "not_an_image"), (encode_mask(MAP)[:60], "truncated")):
        with pytest.raises(PhotoError) as caught:
            decode_mask(data, polarity="focus")
        assert caught.value.reason == reason


def test_depth_round_trips_to_sixteen_bits() -> None:
    decoded = decode_depth(encode_depth(MAP))
    assert decoded.dtype == np.float32
    assert np.abs(decoded - MAP).max() <= 0.5 / 65535 + 1e-7
    ends = decode_depth(encode_depth(np.array([[0.0, 1.0]])))
    assert ends.tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty_file"),
        (b"text", "not_an_image"),
        (encode_depth(MAP)[:100], "truncated"),
        (encode_mask(MAP), "undecodable"),
    ],
    ids=["empty", "text", "cut", "eight-bit"],
)
def test_what_is_no_sixteen_bit_depth_map_is_a_photo_error(data: bytes, reason: str) -> None:
    with pytest.raises(PhotoError) as caught:
        decode_depth(data)
    assert caught.value.reason == reason


@pytest.mark.parametrize("encode", [encode_mask, encode_depth])
@pytest.mark.parametrize("value", [1.5, -0.1, np.nan, np.inf])
def test_values_outside_the_range_are_refused(encode: Callable[[np.ndarray], bytes], value: float) -> None:
    bad = MAP.copy()
    bad[3, 4] = value
    with pytest.raises(ValueError, match=r"within \[0,1\]"):
        encode(bad)


@pytest.mark.parametrize("bad", [np.zeros((2, 2, 1), np.float32), np.zeros((2, 2), np.uint8)])
def test_what_is_no_map_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be"):
        encode_mask(bad)


def test_png_photos_are_lossless_and_jpegs_close() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    assert np.array_equal(decode_photo(encode_photo(photo, format="png")), photo)
    colours = np.kron(photo[:4, :6], np.ones((8, 8, 1), np.uint8))
    assert np.abs(decode_photo(encode_photo(colours)).astype(int) - colours).mean() < 3


def test_jpegs_of_high_quality_keep_the_resolution_of_colours() -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = (255, 0, 0)
    stripes[:, 1::2] = (0, 0, 255)

    def contrast(quality: int) -> float:
        decoded = decode_photo(encode_photo(stripes, quality=quality)).astype(int)
        return np.abs(np.diff(decoded[:, :, 0], axis=1)).mean()

    assert contrast(90) > 200 > contrast(89)


def test_what_is_no_photo_is_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        encode_photo(np.zeros((4, 4, 3), np.float32))
