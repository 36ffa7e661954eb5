"""Whatever colours a file holds, sRGB comes out."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from dbd_ray.images.decode import decode_photo


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def first_pixel(data: bytes) -> list[int]:
    return decode_photo(data)[0, 0].tolist()


def test_a_wide_gamut_photo_is_converted_to_srgb(display_p3: bytes) -> None:
    stored = Image.new("RGB", (8, 8), (200, 100, 100))
    red, green, blue = first_pixel(encoded(stored, icc_profile=display_p3))
    assert red > 208  # the same red needs more drive in the smaller gamut
    assert green < 99
    assert blue < 100


def test_neutral_gray_stays_neutral_in_a_wide_gamut(display_p3: bytes) -> None:
    pixel = first_pixel(encoded(Image.new("RGB", (8, 8), (128, 128, 128)), icc_profile=display_p3))
    assert max(pixel) - min(pixel) <= 1


def test_an_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    stored = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert np.array_equal(decode_photo(encoded(Image.fromarray(stored), icc_profile=profile)), stored)


def test_a_profile_is_followed_in_jpeg_at_reduced_scale(display_p3: bytes) -> None:
    data = encoded(Image.new("RGB", (800, 800), (200, 100, 100)), "JPEG", quality=95, icc_profile=display_p3)
    assert decode_photo(data, target_size=(50, 50))[25, 25, 0] > 206


def test_a_broken_profile_is_ignored(display_p3: bytes, linear_gray: bytes) -> None:
    stored = Image.new("RGB", (8, 8), (200, 100, 50))
    for broken in (b"garbage", display_p3[:150], linear_gray):
        assert first_pixel(encoded(stored, icc_profile=broken)) == [200, 100, 50]


def test_a_gray_profile_is_followed(linear_gray: bytes) -> None:
    linear = encoded(Image.new("L", (8, 8), 55), icc_profile=linear_gray)
    assert first_pixel(linear) == pytest.approx([128] * 3, abs=3)
    with_alpha = encoded(Image.new("LA", (8, 8), (55, 255)), icc_profile=linear_gray)
    assert first_pixel(with_alpha) == pytest.approx([128] * 3, abs=3)


def test_a_cmyk_profile_is_followed(black_inks: bytes) -> None:
    data = encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "TIFF", icc_profile=black_inks)
    assert first_pixel(data) == pytest.approx([0, 0, 0], abs=3)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_has_its_colours_and_not_their_negative(format: str) -> None:
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), format)
    assert first_pixel(data) == pytest.approx([255, 0, 0], abs=6)


def test_a_cmyk_jpeg_that_is_not_adobes_is_not_inverted() -> None:
    data = encoded(Image.new("CMYK", (16, 16), (255, 0, 0, 255)), "JPEG")
    marker = data.index(b"\xff\xee")
    length = int.from_bytes(data[marker + 2 : marker + 4], "big")
    plain = data[:marker] + data[marker + 2 + length :]
    # without Adobe's marker the same numbers mean the opposite amount of ink: magenta and yellow
    assert first_pixel(plain) == pytest.approx([255, 0, 0], abs=6)


def test_gray_becomes_equal_channels() -> None:
    assert first_pixel(encoded(Image.new("L", (4, 4), 77))) == [77, 77, 77]


def test_one_bit_is_black_and_white() -> None:
    bits = Image.new("1", (4, 4), 0)
    bits.putpixel((1, 0), 1)
    for format in ("PNG", "TIFF", "BMP"):
        decoded = decode_photo(encoded(bits, format))
        assert decoded[0, :2].tolist() == [[0, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize(("alpha", "shown"), [((0, 0), [10, 10]), ((0, 255), [255, 10])])
def test_a_bmp_whose_alpha_is_empty_everywhere_has_none(alpha: tuple[int, int], shown: list[int]) -> None:
    header = struct.pack("<IiiHHIIiiII4I", 108, 2, 1, 1, 32, 3, 8, 0, 0, 0, 0, 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    pixels = b"".join(bytes([30, 20, 10, level]) for level in alpha)
    data = b"BM" + struct.pack("<IHHI", 130, 0, 0, 122) + header + bytes(52) + pixels
    assert decode_photo(data)[0, :, 0].tolist() == shown


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_shows_white(mode: str) -> None:
    image = Image.new(mode, (3, 1))
    colour = (0, 0, 0) if mode == "RGBA" else (0,)
    for x, alpha in enumerate((0, 128, 255)):
        image.putpixel((x, 0), (*colour, alpha))
    decoded = decode_photo(encoded(image))
    assert decoded[0, :, 0].tolist() == pytest.approx([255, 127, 0], abs=1)


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_a_transparent_palette_colour_shows_white(format: str) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 0)
    decoded = decode_photo(encoded(image, format, transparency=0))
    assert decoded[0, 0].tolist() == [255, 255, 255]
    assert decoded[1, 1].tolist() == [0, 0, 255]


def test_a_transparent_key_colour_shows_white() -> None:
    image = Image.new("RGB", (2, 1), (9, 9, 9))
    image.putpixel((1, 0), (50, 60, 70))
    assert decode_photo(encoded(image, transparency=(9, 9, 9)))[0].tolist() == [[255] * 3, [50, 60, 70]]


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_gray_keeps_its_brightness(format: str) -> None:
    levels = np.array([[0, 257 * 100, 65535]], np.uint16)
    assert decode_photo(encoded(Image.fromarray(levels), format))[0].tolist() == [[0] * 3, [100] * 3, [255] * 3]


def tiff16(levels: np.ndarray, *, white_is_zero: bool = False, bits: int = 16, samples: int = 1) -> bytes:
    """A little-endian 16-bit TIFF, which Pillow cannot write for colours."""
    body = levels.astype("<u2").tobytes()
    height, width = levels.shape[:2]
    photometric = 2 if samples == 3 else 0 if white_is_zero else 1
    tags = [(256, 4, 1, width), (257, 4, 1, height), (259, 3, 1, 1), (262, 3, 1, photometric), (273, 4, 1, 8)]
    tags += [(277, 3, 1, samples), (278, 4, 1, height), (279, 4, 1, len(body))]
    after = 8 + len(body)
    bit_count = (258, 3, samples, bits if samples == 1 else after)
    directory = struct.pack("<H", len(tags) + 1)
    for tag, kind, count, value in sorted([*tags, bit_count]):
        directory += struct.pack("<HHII", tag, kind, count, value)
    extra = struct.pack("<HHHH", bits, bits, bits, 0)
    return b"II*\0" + struct.pack("<I", after + len(extra)) + body + extra + directory + bytes(4)


def test_sixteen_bit_white_is_zero_is_not_shown_as_a_negative() -> None:
    assert decode_photo(tiff16(np.array([[0, 65535]]), white_is_zero=True))[0, :, 0].tolist() == [255, 0]


def test_sixteen_bit_colours_keep_their_brightness() -> None:
    stored = np.array([[[257 * 200, 257 * 100, 257 * 50]]])
    assert first_pixel(tiff16(stored, samples=3)) == pytest.approx([200, 100, 50], abs=1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.0, 255.0]], np.float32), [0, 100, 255]),
        (np.array([[np.nan, 0.0, 1.0]], np.float32), [0, 0, 255]),
        (np.array([[-10.0, 0.0, 10.0]], np.float32), [0, 128, 255]),
        (np.array([[0, 257 * 100, 65535]], np.int32), [0, 100, 255]),
        (np.array([[0, 2**30, 2**31 - 1]], np.int32), [0, 128, 255]),
    ],
)
def test_float_and_long_integer_pictures_are_brought_into_range(values: np.ndarray, expected: list[int]) -> None:
    assert decode_photo(encoded(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == expected


def test_comments_in_a_png_do_not_matter() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "hello", zip=True)
    assert first_pixel(encoded(Image.new("RGB", (4, 4), (1, 2, 3)), pnginfo=info)) == [1, 2, 3]
