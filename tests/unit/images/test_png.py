"""PNG files of every colour type and depth are the levels that were written."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dbd_ray.errors import PhotoError
from dbd_ray.images.decode import decode_photo

HEIGHT, WIDTH = 5, 13  # rows that do not fill their last byte
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
DEPTHS = {GRAY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GRAY_ALPHA: (8, 16), RGBA: (8, 16)}
# Adam7: first row, first column, step of rows, step of columns
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
KINDS = [(colour, bits) for colour, depths in DEPTHS.items() for bits in depths]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _rows(levels: np.ndarray, bits: int) -> bytes:
    rows = b""
    for row in levels.reshape(len(levels), -1) if levels.size else ():
        if bits == 16:
            packed = row.astype(">u2").tobytes()
        else:
            digits = (row[:, None] >> np.arange(bits - 1, -1, -1)) & 1
            packed = np.packbits(digits.astype(np.uint8)).tobytes()
        rows += b"\0" + packed
    return rows


def _png(levels: np.ndarray, colour: int, bits: int, *, interlaced: bool, extra: bytes = b"", cut: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], bits, colour, 0, 0, int(interlaced))
    parts = [levels[r::rows, c::columns] for r, c, rows, columns in PASSES] if interlaced else [levels]
    rows = b"".join(_rows(part, bits) for part in parts)
    data = zlib.compress(rows[: len(rows) - cut])
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + extra + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _levels(colour: int, bits: int) -> np.ndarray:
    return np.random.default_rng(bits).integers(0, 2**bits, (HEIGHT, WIDTH, CHANNELS[colour]))


def _expected(levels: np.ndarray, colour: int, bits: int) -> np.ndarray:
    values = levels / (2**bits - 1) * 255
    if colour in (GRAY_ALPHA, RGBA):
        share = values[..., -1:] / 255
        values = values[..., :-1] * share + 255 * (1 - share)
    return np.broadcast_to(values, (HEIGHT, WIDTH, 3))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "bits"), [kind for kind in KINDS if kind[0] != PALETTE])
def test_every_colour_type_and_depth_is_the_levels_that_were_written(colour: int, bits: int, interlaced: bool) -> None:
    levels = _levels(colour, bits)
    found = decode_photo(_png(levels, colour, bits, interlaced=interlaced))
    most = 2 if (colour, bits) in ((GRAY_ALPHA, 16), (RGBA, 16)) else 1  # level and share are both cut to 8 bits
    assert np.abs(found - _expected(levels, colour, bits)).max() <= most


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", DEPTHS[PALETTE])
def test_every_palette_is_the_colours_that_it_names(bits: int, interlaced: bool) -> None:
    levels = _levels(PALETTE, bits)
    palette = np.random.default_rng(7).integers(0, 256, (2**bits, 3), np.uint8)
    data = _png(levels, PALETTE, bits, interlaced=interlaced, extra=_chunk(b"PLTE", palette.tobytes()))
    np.testing.assert_array_equal(decode_photo(data), palette[levels[..., 0]])


@pytest.mark.parametrize(
    ("colour", "bits"), [(GRAY, 1), (GRAY, 2), (GRAY, 4), (GRAY, 8), (GRAY, 16), (RGB, 8), (RGB, 16)]
)
def test_the_one_transparent_colour_is_white(colour: int, bits: int) -> None:
    levels = _levels(colour, bits)
    clear = levels[2, 3]
    data = _png(levels, colour, bits, interlaced=False, extra=_chunk(b"tRNS", clear.astype(">u2").tobytes()))
    expected = np.where((levels == clear).all(-1, keepdims=True), 255, _expected(levels, colour, bits))
    assert np.abs(decode_photo(data) - expected).max() <= 1


def test_transparent_colours_of_a_palette_are_white_by_their_share() -> None:
    levels = _levels(PALETTE, 8)
    palette = np.random.default_rng(7).integers(0, 256, (256, 3), np.uint8)
    alpha = np.random.default_rng(8).integers(0, 256, 256, np.uint8)
    extra = _chunk(b"PLTE", palette.tobytes()) + _chunk(b"tRNS", alpha.tobytes())
    share = alpha[levels] / 255
    expected = palette[levels[..., 0]] * share + 255 * (1 - share)
    assert np.abs(decode_photo(_png(levels, PALETTE, 8, interlaced=False, extra=extra)) - expected).max() <= 1


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "bits"), KINDS)
def test_rows_that_were_never_coded_are_not_shown_as_black(colour: int, bits: int, interlaced: bool) -> None:
    levels = np.maximum(_levels(colour, bits), 1)
    palette = _chunk(b"PLTE", bytes(3 * 2**bits)) if colour == PALETTE else b""
    row_bytes = 1 + (WIDTH * CHANNELS[colour] * bits + 7) // 8
    for missing in (row_bytes, 2 * row_bytes):
        data = _png(levels, colour, bits, interlaced=interlaced, extra=palette, cut=missing)
        with pytest.raises(PhotoError, match="ends before its picture does"):
            decode_photo(data)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "bits"), KINDS)
def test_black_rows_are_rows(colour: int, bits: int, interlaced: bool) -> None:
    palette = _chunk(b"PLTE", bytes(3 * 2**bits)) if colour == PALETTE else b""
    black = np.zeros((HEIGHT, WIDTH, CHANNELS[colour]), int)
    data = _png(black, colour, bits, interlaced=interlaced, extra=palette)
    assert decode_photo(data).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("missing", [0, 1])
def test_rows_of_megabytes_are_counted(missing: int) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (1500, 1000, 1))
    levels[-1] = 0
    data = _png(levels, GRAY, 8, interlaced=False, cut=1001 * missing)
    if missing:
        with pytest.raises(PhotoError, match="ends before its picture does"):
            decode_photo(data)
    else:
        np.testing.assert_array_equal(decode_photo(data)[..., :1], levels)


def test_a_decoders_message_is_told_in_words_and_not_as_python_writes_bytes() -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    damaged = bytearray(file.getvalue())
    damaged[29] ^= 255  # of the header's checksum
    with pytest.raises(PhotoError, match=r"\(broken PNG file \(bad header checksum in IHDR\)\)"):
        decode_photo(bytes(damaged))
