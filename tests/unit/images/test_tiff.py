"""TIFF files of every arrangement of samples are the picture that was written, or are refused by what they hold."""

from itertools import product

import numpy as np
import pytest
import tiffs

from dbd_ray.errors import PhotoError
from dbd_ray.images.decode import decode_photo, photo_size

HEIGHT, WIDTH = 29, 37
RAMP = np.linspace(0.02, 1, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
VALUES = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1], 0.3 + 0.7 * RAMP[::-1, ::-1]], axis=2)
COLOURS = VALUES[..., :3] * 255
GRAYS = np.repeat(COLOURS[..., :1], 3, axis=2)
ALPHA = VALUES[..., 3:]
INKS = 255 * (1 - VALUES[..., :3]) * (1 - ALPHA)
MULTIPLIED = np.concatenate([VALUES[..., :3] * ALPHA, ALPHA], axis=2)
OVER_WHITE = COLOURS * ALPHA + 255 * (1 - ALPHA)

MODELS = {
    "gray": (VALUES[..., :1], tiffs.GRAY, (), GRAYS),
    "white is zero": (VALUES[..., :1], tiffs.MINISWHITE, (), 255 - GRAYS),
    "rgb": (VALUES[..., :3], tiffs.RGB, (), COLOURS),
    "rgba": (VALUES, tiffs.RGB, (2,), OVER_WHITE),
    "rgba, multiplied": (MULTIPLIED, tiffs.RGB, (1,), OVER_WHITE),
    "rgb and more": (VALUES, tiffs.RGB, (0,), COLOURS),
    "rgb and two more": (np.dstack([VALUES, RAMP]), tiffs.RGB, (0, 0), COLOURS),
    "cmyk": (VALUES, tiffs.CMYK, (), INKS),
    "gray and alpha": (VALUES[..., 2:], tiffs.GRAY, (2,), GRAYS[:, ::-1] * ALPHA + 255 * (1 - ALPHA)),
}
MUST_READ = {
    *((model, kind) for model in ("gray", "rgb", "rgba", "rgb and more", "cmyk") for kind in ("u1", "u2")),
    *((model, kind) for model in ("gray", "rgb", "rgba", "rgba, multiplied") for kind in ("u4", "f4", "f8")),
    ("gray", "i2"),
    ("white is zero", "u2"),
}


def stored(values: np.ndarray, kind: str) -> np.ndarray:
    if kind.startswith("f"):
        return values.astype(kind)
    return np.round(values * np.iinfo(kind).max).astype(kind)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i1", "i2", "f2", "f4", "f8"])
@pytest.mark.parametrize("model", MODELS)
def test_a_tiff_is_the_picture_that_was_written_or_is_refused(model: str, kind: str) -> None:
    values, photometric, extra, expected = MODELS[model]
    arrangements = [(tiffs.NONE, 1), (tiffs.PACKBITS, 1), (tiffs.LZW, 1), (tiffs.DEFLATE, 3 if kind[0] == "f" else 2)]
    for order, planar, tile, (compression, predictor) in product("<>", (False, True), (None, (16, 16)), arrangements):
        if planar and values.shape[2] == 1:
            continue
        data = tiffs.tiff(
            stored(values, kind),
            photometric,
            order=order,
            planar=planar,
            tile=tile,
            compression=compression,
            predictor=predictor,
            extra=extra,
        )
        where = f"{order} planar={planar} tile={tile} compression={compression}"
        try:
            photo = decode_photo(data)
        except PhotoError as error:
            assert error.reason == "undecodable", where
            assert "-bit" in error.message and "export it as" in error.message, where
            assert (model, kind) not in MUST_READ or (planar and kind[1] in "48"), f"{where}: {error}"
        else:
            assert np.abs(photo - expected).max() <= 3, where


@pytest.mark.parametrize(("model", "kind"), [("rgb", "u2"), ("gray", "f4"), ("rgb", "f4")])
def test_a_big_tiff_is_read_like_a_small_one(model: str, kind: str) -> None:
    values, photometric, _, expected = MODELS[model]
    data = tiffs.tiff(stored(values, kind), photometric, big=True)
    assert np.abs(decode_photo(data) - expected).max() <= 1


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("subsampling", [(1, 1), (2, 2)])
def test_colours_of_ycbcr_are_told_from_their_samples(planar: bool, subsampling: tuple[int, int]) -> None:
    if subsampling == (1, 1):
        samples = np.empty((16, 16, 3), np.uint8)
        samples[:] = 76, 85, 255  # pure red, ITU-R BT.601
    elif planar:
        pytest.skip("planes of different sizes, which the writer has not")
    else:  # each four pixels' lumas and then both chromas: 16x16 are 64 such units
        samples = np.tile(np.array([76] * 4 + [85, 255], np.uint8), 64).reshape(16, 8 * 3, 1)
    tags = {530: (3, list(subsampling)), 256: (4, [16]), 257: (4, [16]), 277: (3, [3]), 258: (3, [8] * 3)}
    data = tiffs.tiff(samples, tiffs.YCBCR, planar=planar, rows_per_strip=16, tags=tags)
    assert np.abs(decode_photo(data).astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("unit", [257, 1])  # of 16 bits as the format has it, or of 8 as some programs write
def test_a_palettes_colours_are_those_of_its_indices(unit: int) -> None:
    table = [unit * level for level in (*range(256), *range(255, -1, -1), *([7] * 256))]
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    photo = decode_photo(tiffs.tiff(indices, tiffs.PALETTE, tags={320: (3, table)}))
    assert photo.reshape(256, 3)[[0, 9, 255]].tolist() == [[0, 255, 7], [9, 246, 7], [255, 0, 7]]


@pytest.mark.parametrize("order", "<>")
def test_twelve_bits_are_read_or_refused(order: str) -> None:
    levels = np.round(VALUES[..., :1] * 4095).astype(np.uint16)
    try:
        photo = decode_photo(tiffs.tiff(levels, tiffs.GRAY, order=order, bits=12))
    except PhotoError as error:
        assert "12-bit" in error.message
    else:
        assert np.abs(photo - GRAYS).max() <= 1


def test_floats_above_white_are_white_and_what_is_no_number_is_black() -> None:
    colours = np.zeros((4, 4, 3), np.float32)
    colours[0, 0], colours[0, 1], colours[0, 2] = 7.5, np.nan, -3
    assert decode_photo(tiffs.tiff(colours))[0, :3, 0].tolist() == [255, 0, 0]


def test_floats_of_another_range_are_refused_by_their_range() -> None:
    with pytest.raises(PhotoError, match=r"3 x 32-bit floating-point .* above 1, which is white: export it with 8"):
        decode_photo(tiffs.tiff(np.full((4, 4, 3), 200, np.float32)))


def test_floats_are_turned_upright_and_their_profile_is_followed(display_p3: bytes) -> None:
    colours = VALUES[..., :3].astype(np.float32)
    data = tiffs.tiff(colours, tags={274: (3, [6])}, icc=display_p3)
    plain = tiffs.tiff(stored(VALUES[..., :3], "u1"), tags={274: (3, [6])}, icc=display_p3)
    assert photo_size(data) == (WIDTH, HEIGHT)
    assert np.abs(decode_photo(data).astype(int) - decode_photo(plain)).max() <= 1
    assert np.abs(decode_photo(data) - np.rot90(COLOURS, -1)).max() > 5


def test_the_limit_on_pixels_holds_before_floats_are_decoded() -> None:
    data = tiffs.tiff(np.zeros((4, 4, 3), np.float32), tags={256: (4, [60_000]), 257: (4, [60_000])})
    with pytest.raises(PhotoError, match="60000x60000 pixels"):
        decode_photo(data)


@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_a_tiff_whose_pixels_are_missing_is_not_painted_gray(kind: str) -> None:
    data = tiffs.tiff(stored(VALUES[..., :3], kind), planar=kind == "u2", tags={273: (4, [10**6] * 15)})
    with pytest.raises(PhotoError):
        decode_photo(data)


@pytest.mark.parametrize("count", [1, 3])
def test_floats_of_which_none_is_finite_are_refused(count: int) -> None:
    model = tiffs.RGB if count == 3 else tiffs.GRAY
    with pytest.raises(PhotoError, match=r"none of this TIFF file's .* is finite"):
        decode_photo(tiffs.tiff(np.full((4, 4, count), np.nan, np.float32), model))


def test_a_tiff_cut_before_its_tags_is_truncated() -> None:
    data = tiffs.tiff(VALUES[..., :3].astype(np.float32))
    for length in (len(data) // 2, len(data) - 100, 100):
        with pytest.raises(PhotoError) as caught:
            decode_photo(data[:length])
        assert caught.value.reason == "truncated"
