"""Good photos of every kind become upright sRGB pixels."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dbd_ray.errors import PhotoError
from dbd_ray.images.decode import decode_photo, photo_size
from dbd_ray.images.resize import resize_photo

RED, GREEN, BLUE, GRAY = (220, 30, 20), (20, 200, 40), (10, 40, 210), (128, 128, 128)


def quadrants(height: int = 48, width: int = 64) -> np.ndarray:
    """Four flat colours, so that every turn and mirroring gives another picture."""
    photo = np.empty((height, width, 3), np.uint8)
    half_height, half_width = height // 2, width // 2
    photo[:half_height, :half_width], photo[:half_height, half_width:] = RED, GREEN
    photo[half_height:, :half_width], photo[half_height:, half_width:] = BLUE, GRAY
    return photo


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs(one.astype(int) - other.astype(int))


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("JPEG", {"quality": 95, "subsampling": 0, "progressive": True}),
        ("AVIF", {"quality": 95, "subsampling": "4:4:4"}),
    ],
)
def test_every_format_gives_the_pixels_that_went_in(format: str, options: dict[str, Any]) -> None:
    photo = quadrants()
    data = encoded(Image.fromarray(photo), format, **options)
    decoded = decode_photo(data)
    assert decoded.dtype == np.uint8
    assert photo_size(data) == (48, 64)
    assert np.percentile(difference(decoded, photo), 95) <= 4


def test_decoded_pixels_can_be_written_to() -> None:
    decode_photo(encoded(Image.fromarray(quadrants()), "PNG"))[0, 0] = 0


# how the picture must be stored so that its orientation tag turns it upright again
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda photo: photo,
    2: lambda photo: photo[:, ::-1],
    3: lambda photo: photo[::-1, ::-1],
    4: lambda photo: photo[::-1],
    5: lambda photo: photo.transpose(1, 0, 2),
    6: lambda photo: np.rot90(photo, 1),
    7: lambda photo: photo[::-1, ::-1].transpose(1, 0, 2),
    8: lambda photo: np.rot90(photo, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(format: str, orientation: int) -> None:
    photo = quadrants()
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](photo)))
    data = encoded(stored, format, exif=exif, **options)
    assert photo_size(data) == (48, 64)
    assert np.percentile(difference(decode_photo(data), photo), 95) <= 4
    small = decode_photo(data, target_size=(24, 40))
    assert small.shape == (24, 40, 3)
    for y, x, colour in ((2, 2, RED), (2, -3, GREEN), (-3, 2, BLUE), (-3, -3, GRAY)):
        assert difference(small[y, x], np.array(colour)).max() <= 6


def test_a_nonsense_orientation_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 99
    assert photo_size(encoded(Image.fromarray(quadrants()), "JPEG", exif=exif)) == (48, 64)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on the damage
def test_damaged_exif_does_not_cost_the_photo() -> None:
    data = encoded(Image.fromarray(quadrants()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fgarbage")
    assert decode_photo(data).shape == (48, 64, 3)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF"])
def test_the_first_frame_of_several_is_taken(format: str) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in (RED, GREEN, BLUE)]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    decoded = decode_photo(data)
    assert decoded.shape == (30, 40, 3)
    assert difference(decoded, np.full_like(decoded, RED)).max() <= 8


def test_a_jpeg_decoded_at_reduced_scale_is_nearly_the_fully_decoded_one(cuhk: Path) -> None:
    source = next(path for path in sorted((cuhk / "image").iterdir()) if path.suffix.lower() == ".jpg")
    large = Image.open(source).convert("RGB").resize((2400, 1800), Image.Resampling.LANCZOS)
    data = encoded(large, "JPEG", quality=92)
    reduced = decode_photo(data, target_size=(320, 320))
    full = resize_photo(decode_photo(data), (320, 320))
    assert reduced.shape == (320, 320, 3)
    assert difference(reduced, full).any()  # it was not decoded in full
    assert difference(reduced, full).mean() < 1
    assert difference(reduced, full).max() < 24


def test_reduced_decoding_does_not_cost_detail() -> None:
    """One-pixel stripes at the target size survive: decoding never went below it."""
    stripes = np.zeros((1280, 1280, 3), np.uint8)
    stripes[:, (np.arange(1280) // 4) % 2 == 1] = 255
    small = decode_photo(encoded(Image.fromarray(stripes), "JPEG", quality=95), target_size=(320, 320))
    assert np.ptp(small[160, :, 0]) > 240


def test_reduced_decoding_minds_that_the_file_is_stored_lying() -> None:
    """Upright it is 3200 high and 800 wide, and all of the width is asked for."""
    stripes = np.zeros((3200, 800, 3), np.uint8)
    stripes[:, ::2] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.fromarray(np.ascontiguousarray(STORED[6](stripes)))
    small = decode_photo(encoded(lying, "JPEG", quality=95, exif=exif), target_size=(50, 800))
    assert np.ptp(small[25, :, 0]) > 240


@pytest.mark.parametrize("target_size", [(100, 30), (30, 100), (400, 500), (48, 64), (1, 1)])
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_target_size_is_met_exactly(format: str, target_size: tuple[int, int]) -> None:
    data = encoded(Image.fromarray(quadrants()), format)
    assert decode_photo(data, target_size=target_size).shape == (*target_size, 3)


def test_a_target_size_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="target_size"):
        decode_photo(encoded(Image.fromarray(quadrants()), "PNG"), target_size=(0, 10))


@pytest.mark.parametrize(("format", "pixels_start"), [("JPEG", b"\xff\xda"), ("PNG", b"IDAT")])
def test_photo_size_reads_no_pixels(format: str, pixels_start: bytes) -> None:
    """A file cut right behind its header still has a size."""
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    data = encoded(Image.fromarray(noise), format)
    header = data[: data.index(pixels_start) + 20]
    assert photo_size(header) == (200, 300)
    with pytest.raises(PhotoError):
        decode_photo(header)


def test_exif_behind_a_pngs_pixels_counts_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(quadrants()), "PNG", exif=exif)
    start = data.index(b"eXIf") - 4
    chunk = data[start : start + 12 + int.from_bytes(data[start : start + 4], "big")]
    end = data.index(b"IEND") - 4
    moved = data[:start] + data[start + len(chunk) : end] + chunk + data[end:]
    assert photo_size(moved) == (64, 48)
    assert decode_photo(moved).shape == (64, 48, 3)


@pytest.mark.parametrize("before", range(3))  # bytes between the palette and the pixels
def test_runs_of_a_bmp_are_the_levels_that_were_written(before: int) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (5, 9), np.uint8)
    palette = np.random.default_rng(1).integers(0, 256, (256, 4), np.uint8)
    rows = [b"\0\x09" + row.tobytes() + b"\0" for row in levels[::-1]]  # of 9 levels as they are, and padding
    pixels = b"\0\0".join(rows) + b"\0\1"
    offset = 54 + 1024 + before
    header = b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset)
    header += struct.pack("<IiiHHIIiiII", 40, 9, 5, 1, 8, 1, len(pixels), 0, 0, 256, 0)
    photo = decode_photo(header + palette.tobytes() + bytes(before) + pixels)
    np.testing.assert_array_equal(photo, palette[levels][..., 2::-1])
