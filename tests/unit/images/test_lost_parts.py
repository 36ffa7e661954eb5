"""Photos of which a part was lost are refused, and flat pictures, whose coded pixels are zeros too, are read."""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dbd_ray.errors import PhotoError
from dbd_ray.images.decode import decode_as_stored, decode_photo
from dbd_ray.images.lost import LOST

HEIGHT, WIDTH = 300, 400
_COARSE = np.random.default_rng(0).integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
PHOTO = Image.fromarray(_COARSE).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
JPEGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "own codes": {"optimize": True, "quality": 20},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("PNG", {}),
    "webp": ("WEBP", {"quality": 85}),
    "lossless webp": ("WEBP", {"lossless": True}),
    "avif": ("AVIF", {"quality": 85}),
}
COMPRESSIONS = ("tiff_lzw", "tiff_deflate", "packbits", "jpeg", "zstd")


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def heic(image: Image.Image, **options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    pillow_heif.from_pillow(image).save(stream, **options)
    return stream.getvalue()


def zeroed(data: bytes, start: float, end: float) -> bytes:
    """Put zeros where the given shares of the bytes were."""
    first, last = int(len(data) * start), int(len(data) * end)
    return data[:first] + bytes(last - first) + data[last:]


def damaged(data: bytes) -> list[bytes]:
    """Lose the second half, the second half but for the end mark, and a sector of a disk at three places."""
    sectors = [
        data[:at] + bytes(512) + data[at + 512 :] for at in (len(data) // 1024 * share for share in (400, 600, 850))
    ]
    return [zeroed(data, 0.5, 1), zeroed(data, 0.5, 1)[:-64] + data[-64:], *sectors]


def assert_all_are_refused(files: list[bytes], decode: Callable[[bytes], object] = decode_photo) -> None:
    for number, data in enumerate(files):
        with pytest.raises(PhotoError) as caught:
            decode(data)
            pytest.fail(f"damage {number} was read")
        assert caught.value.reason in ("undecodable", "truncated"), number


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_with_a_lost_part_is_refused(kind: str, mode: str) -> None:
    data = encoded(PHOTO.convert(mode), "JPEG", **JPEGS[kind])
    assert_all_are_refused(damaged(data))
    assert_all_are_refused([zeroed(data, 0.5, 1)], lambda file: decode_photo(file, target_size=(20, 20)))
    assert decode_photo(data).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("kind", OTHERS)
def test_no_format_is_read_with_a_lost_part(kind: str) -> None:
    format, options = OTHERS[kind]
    data = encoded(PHOTO, format, **options)
    assert_all_are_refused(damaged(data))
    assert_all_are_refused(damaged(data), decode_as_stored)


def test_transparency_with_a_lost_part_is_refused() -> None:
    photo = PHOTO.copy()
    photo.putalpha(PHOTO.convert("L"))
    data = encoded(photo, "WEBP", quality=85)
    at = data.index(b"ALPH") + 1024
    assert_all_are_refused([data[:at] + bytes(512) + data[at + 512 :]])


def test_a_heic_with_a_lost_part_is_refused_by_what_was_lost() -> None:
    with pytest.raises(PhotoError, match="a part of this HEIC file was lost, zeros stand in its place: copy it again"):
        decode_photo(zeroed(heic(PHOTO), 0.4, 0.6))


def test_zeros_beside_the_pixels_of_a_heic_are_no_lost_part() -> None:
    notes = b"Exif\0\0MM\0*" + bytes(5000)
    assert decode_photo(heic(PHOTO, exif=notes)).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_compressed_tiff_with_a_lost_part_is_refused(compression: str) -> None:
    data = encoded(PHOTO, "TIFF", compression=compression)
    coded = len(data) - 2000  # the list of what is where may stand behind the pixels
    for at in (1024, coded // 2, coded * 3 // 4):
        assert_all_are_refused([data[:at] + bytes(512) + data[at + 512 :]])


def flat_pictures() -> list[Image.Image]:
    size = (1200, 900)
    colours = [Image.new("RGB", size, colour) for colour in ("white", "black", (128, 128, 128), (200, 30, 20))]
    pasted = [Image.new("RGB", size, "white"), Image.new("RGB", size, (90, 120, 30))]
    for picture, place in zip(pasted, ((20, 20), (780, 590)), strict=True):
        picture.paste(PHOTO, place)
    grid = np.zeros((size[1], size[0], 3), np.uint8)
    grid[::64] = grid[:, ::64] = 255
    return [*colours, *pasted, Image.fromarray(grid)]


@pytest.mark.parametrize("kind", range(7))
def test_flat_pictures_are_read_although_their_codes_are_zeros(kind: int) -> None:
    picture = flat_pictures()[kind]
    pixels = np.asarray(picture)
    held = 0
    for quality in (20, 75, 98):
        for progressive in (False, True):
            for mode in ("RGB", "L"):
                data = encoded(
                    picture.convert(mode),
                    "JPEG",
                    quality=quality,
                    progressive=progressive,
                    optimize=True,
                    subsampling=0,
                )
                held += LOST in data
                assert decode_photo(data).shape == pixels.shape
    assert held, "none of these files shows what this test is for"
    for format, options in (("PNG", {}), ("WEBP", {"lossless": True, "method": 0})):
        assert np.array_equal(decode_photo(encoded(picture, format, **options)), pixels)
    for format, options in (("WEBP", {"quality": 80}), ("AVIF", {"speed": 10})):
        assert np.abs(decode_photo(encoded(picture, format, **options)).astype(int) - pixels).mean() < 8
    for compression in ("tiff_deflate", "tiff_lzw", "packbits", "zstd"):
        assert np.array_equal(decode_photo(encoded(picture, "TIFF", compression=compression)), pixels)


def test_zeros_in_the_metadata_of_a_jpeg_are_no_lost_part() -> None:
    data = encoded(PHOTO, "JPEG", optimize=True)
    notes = b"\xff\xe5" + struct.pack(">H", 6002) + bytes(6000)
    assert np.array_equal(decode_photo(data[:2] + notes + data[2:] + bytes(5000)), decode_photo(data))
