"""The strips and tiles of TIFF files are all there and whole, or the file is refused."""

import io
import struct
from typing import Any

import numpy as np
import pytest
import tiffs
from PIL import Image

from dbd_ray.errors import PhotoError
from dbd_ray.images.decode import decode_photo

PIXELS = np.random.default_rng(0).integers(1, 256, (29, 37, 3), np.uint8)


def as_kind(kind: str) -> np.ndarray:
    return (PIXELS / 255).astype(kind) if kind == "f4" else PIXELS.astype(kind)


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("layout", [{}, {"planar": True}, {"tile": (16, 16)}, {"compression": tiffs.DEFLATE}], ids=str)
def test_strips_and_tiles_that_are_not_listed_are_not_shown_as_black(kind: str, layout: dict[str, Any]) -> None:
    taller = {257: (4, [len(PIXELS) + 16])}
    with pytest.raises(PhotoError):
        decode_photo(tiffs.tiff(as_kind(kind), tags=taller, **layout))


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_strips_without_a_place_are_not_read_from_the_header(kind: str) -> None:
    data = tiffs.tiff(as_kind(kind), tags={273: (4, [8, 0, 8, 8, 8]), 279: (4, [1, 0, 1, 1, 1])})
    with pytest.raises(PhotoError, match="lists 4 of the 5 parts"):
        decode_photo(data)


def test_a_tiff_without_places_of_its_pixels_is_refused_by_that() -> None:
    data = tiffs.tiff(PIXELS, rows_per_strip=len(PIXELS))
    without = data.replace(struct.pack("<HH", 273, 4), struct.pack("<HH", 60_000, 4))
    for file in (without, tiffs.tiff(PIXELS, tags={278: (4, [0])})):
        with pytest.raises(PhotoError, match=r"does not say where its pixels are|have a size of 0"):
            decode_photo(file)


def test_a_big_tiff_in_the_other_byte_order_is_refused_by_its_name() -> None:
    with pytest.raises(PhotoError, match=r"BigTIFF .* save it as an ordinary TIFF file"):
        decode_photo(tiffs.tiff(PIXELS, big=True, order=">"))


def _in_strips(
    strips: list[bytes], rows: int, compression: int, photometric: int, size: tuple[int, int], fill_order: int = 1
) -> bytes:
    places = [8 + sum(map(len, strips[:number])) for number in range(len(strips))]
    samples = 3 if photometric == tiffs.YCBCR else 1
    values = {256: (4, [size[1]]), 257: (4, [size[0]]), 258: (3, [8 if samples == 3 else 1] * samples)}
    values |= {259: (3, [compression]), 262: (3, [photometric]), 277: (3, [samples]), 278: (4, [rows])}
    values |= {273: (4, places), 279: (4, [len(strip) for strip in strips]), 266: (3, [fill_order])}
    if samples == 3:
        values[530] = (3, [1, 1])
    return tiffs.file_of(b"".join(strips), values)


def _jpeg(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90, subsampling=0)
    return stream.getvalue()


@pytest.mark.parametrize("damage", ["none", "cut", "rows", "zeros"])
def test_strips_of_jpeg_are_whole_or_refused(damage: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    strips = [_jpeg(pixels[top : top + 16]) for top in range(0, 64, 16)]
    middle = len(strips[2]) // 2
    strips[2] = {
        "none": strips[2],
        "cut": strips[2][:middle],
        "rows": _jpeg(pixels[32:40]),
        "zeros": strips[2][:middle] + bytes(400) + strips[2][middle + 400 :],
    }[damage]
    data = _in_strips(strips, 16, 7, tiffs.YCBCR, (64, 96))
    if damage == "none":
        np.testing.assert_array_equal(decode_photo(data)[:16], np.asarray(Image.open(io.BytesIO(strips[0]))))
        return
    with pytest.raises(PhotoError, match="copy it again"):
        decode_photo(data)


@pytest.mark.parametrize("fill_order", [1, 2])
def test_fax_group_4_is_whole_or_refused_and_group_3_never_read(fill_order: int) -> None:
    drawing = Image.fromarray(np.random.default_rng(0).integers(0, 2, (40, 60), np.uint8) * 255).resize((240, 160))
    stream = io.BytesIO()
    drawing.convert("1").save(stream, "TIFF", compression="group4")
    written = Image.open(stream)
    place, length = written.tag_v2[273][0], written.tag_v2[279][0]  # type: ignore[attr-defined]
    strip = stream.getvalue()[place : place + length]
    kept = strip.translate(bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))) if fill_order == 2 else strip

    def file(coded: bytes, compression: int = 4) -> bytes:
        return _in_strips([coded], 160, compression, tiffs.GRAY, (160, 240), fill_order)

    assert np.array_equal(decode_photo(file(kept))[..., 0], np.asarray(drawing.convert("1")) * np.uint8(255))
    for coded in (kept[: length // 2], kept[: length // 2] + bytes(length // 2), kept[:300] + bytes(200) + kept[500:]):
        with pytest.raises(PhotoError, match="copy it again"):
            decode_photo(file(coded))
    with pytest.raises(PhotoError, match="compressed for fax"):
        decode_photo(file(kept, compression=3))
