"""What stands beside a photo's pixels decides nothing about them."""

import io
import os
import re
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dbd_ray.cli import main
from dbd_ray.errors import PhotoError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.jpeg_scans import lacks_scans
from dbd_ray.images.read import read_photo

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
SMOOTH = np.linspace(0, 255, 80 * 104 * 3).reshape(80, 104, 3).astype(np.uint8)


def encoded(format: str, pixels: np.ndarray = PIXELS, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format, **options)
    return stream.getvalue()


def chunk(kind: bytes, body: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


LARGE = zlib.compress(bytes(3 * 2**20))
KINDS = (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP", b"gAMA", b"cHRM", b"pHYs", b"tIME", b"sBIT", b"acTL", b"xyZz")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("checksum", [None, 7])
@pytest.mark.parametrize("body", [b"", b"x", b"word\0\0" + LARGE, b"word\0\0no deflate", b"word\0\1\0\0\0" + LARGE])
@pytest.mark.parametrize("behind", [False, True])
def test_no_chunk_of_a_png_costs_its_pixels(kind: bytes, body: bytes, checksum: int | None, behind: bool) -> None:
    png = encoded("PNG")
    at = len(png) - 12 if behind else 33
    assert np.array_equal(decode_photo(png[:at] + chunk(kind, body, checksum) + png[at:]), PIXELS)


def test_a_pngs_profile_is_followed_whatever_its_size(display_p3: bytes) -> None:
    plain = decode_photo(encoded("PNG", icc_profile=display_p3))
    assert not np.array_equal(plain, PIXELS)
    padded = display_p3 + os.urandom(3 * 2**20)
    large = struct.pack(">I", len(padded)) + padded[4:]
    assert np.array_equal(decode_photo(encoded("PNG", icc_profile=large)), plain)


def test_damaged_pixels_of_a_png_are_still_refused() -> None:
    png = bytearray(encoded("PNG"))
    png[png.index(b"IDAT") + 40] ^= 1
    with pytest.raises(PhotoError):
        decode_photo(bytes(png))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on the damage
@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_no_exif_costs_the_pixels(format: str) -> None:
    expected = decode_photo(encoded(format, SMOOTH))
    random = np.random.default_rng(1)
    exif = Image.Exif()
    exif[0x010F], exif[0x0132] = "maker", "2020"
    for _ in range(20):
        damaged = bytearray(exif.tobytes())
        for at in random.integers(14, len(damaged), 5):
            damaged[at] = random.integers(256)
        photo = decode_photo(encoded(format, SMOOTH, exif=bytes(damaged)))
        assert photo.shape != expected.shape or np.abs(photo.astype(int) - expected).max() == 0


@pytest.mark.parametrize("pixels", [PIXELS, SMOOTH, np.zeros_like(SMOOTH)], ids=["noise", "smooth", "black"])
@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 0}, {"restart_marker_rows": 1}], ids=["420", "444", "restarts"]
)
@pytest.mark.parametrize("target_size", [None, (10, 14)])
def test_a_jpeg_without_its_end_marker_is_read(
    pixels: np.ndarray, options: dict[str, int], target_size: tuple[int, int] | None
) -> None:
    whole = encoded("JPEG", pixels, **options)
    expected = decode_photo(whole, target_size=target_size)
    for data in (whole[:-2], whole[:-1], whole[:-2] + b"\0\0SEFT" * 100):
        assert np.array_equal(decode_photo(data, target_size=target_size), expected)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("pixels", [PIXELS, SMOOTH], ids=["noise", "smooth"])
def test_a_jpeg_that_lacks_blocks_is_truncated(pixels: np.ndarray, progressive: bool) -> None:
    whole = encoded("JPEG", pixels, progressive=progressive)
    expected = decode_photo(whole)
    for lost in (3, 4, 8, 20, 60, 200):
        try:
            photo = decode_photo(whole[:-lost])
        except PhotoError as error:
            assert error.reason == "truncated"
        else:
            assert lost < 8 and np.array_equal(photo, expected)


@pytest.mark.parametrize("pixels", [PIXELS, SMOOTH], ids=["noise", "smooth"])
@pytest.mark.parametrize("trailer", [b"", bytes(8), b"\0\0SEFT" * 100])
@pytest.mark.parametrize("target_size", [None, (10, 14)])
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"restart_marker_rows": 1}])
def test_a_cut_jpeg_that_was_marked_as_ended_is_truncated(
    pixels: np.ndarray, trailer: bytes, target_size: tuple[int, int] | None, options: dict[str, int]
) -> None:
    whole = encoded("JPEG", pixels, **options)
    coded = whole.index(b"\xff\xda") + 14
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(PhotoError) as caught:
            decode_photo(
                whole[: coded + int((len(whole) - coded) * share)] + b"\xff\xd9" + trailer, target_size=target_size
            )
        assert caught.value.reason == "truncated"


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_rows": 1}], ids=["scans", "intervals"])
@pytest.mark.parametrize("pixels", [PIXELS, SMOOTH], ids=["noise", "smooth"])
@pytest.mark.parametrize("target_size", [None, (10, 14)])
def test_a_jpeg_that_lacks_whole_scans_or_intervals_is_truncated(
    pixels: np.ndarray, options: dict[str, Any], target_size: tuple[int, int] | None
) -> None:
    whole = encoded("JPEG", pixels, **options)
    assert not lacks_scans(whole)
    borders = re.compile(rb"\xff\xda" if "progressive" in options else rb"\xff[\xd0-\xd7]")
    coded = whole.index(b"\xff\xda")
    for border in list(borders.finditer(whole, coded + 2)):
        with pytest.raises(PhotoError) as caught:
            decode_photo(whole[: border.start()] + b"\xff\xd9", target_size=target_size)
        assert caught.value.reason == "truncated"


def test_a_short_adobe_segment_says_nothing() -> None:
    whole = encoded("JPEG")
    for text in (b"Adobe", b"Adobe\0\x64"):
        segment = b"\xff\xee" + struct.pack(">H", 2 + len(text)) + text
        assert np.array_equal(decode_photo(whole[:2] + segment + whole[2:]), decode_photo(whole))


def test_a_png_with_a_clear_colour_of_the_wrong_length_is_read() -> None:
    png = encoded("PNG")
    assert np.array_equal(decode_photo(png[:33] + chunk(b"tRNS", b"x") + png[33:]), PIXELS)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_gray_corner_is_a_gray_corner(mode: str) -> None:
    stream = io.BytesIO()
    Image.new(mode, (56, 40), 128 if mode == "L" else (128,) * len(mode)).save(stream, "JPEG")
    for data in (stream.getvalue(), stream.getvalue() + b"behind \xff\xd9 the end"):
        assert decode_photo(data).shape == (40, 56, 3)


def test_a_commands_lines_are_not_mixed_with_remarks_on_exif() -> None:
    photo = encoded("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\0" + bytes(range(40)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(SystemExit):
            main(["--help"])
        decode_photo(photo)
    assert not [str(remark.message) for remark in said if "PIL" in remark.filename]


def test_an_open_file_at_its_end_is_told_from_an_empty_one() -> None:
    file = io.BytesIO(encoded("PNG"))
    read_photo(file)
    with pytest.raises(PhotoError, match=r"seek\(0\)"):
        read_photo(file)
    with pytest.raises(PhotoError, match="0 bytes"):
        read_photo(io.BytesIO())
