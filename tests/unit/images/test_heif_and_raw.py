"""HEIC and camera raw work with their extras, and say which one is missing."""

import io
import struct
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from dbd_ray.errors import PhotoError
from dbd_ray.images.containers import identify
from dbd_ray.images.decode import decode_photo, photo_exif, photo_size

FORMATS = {"B": (1, 1, "B"), "A": (2, 1, "s"), "H": (3, 2, "H"), "L": (4, 4, "I"), "S": (10, 8, "i")}
Entry = tuple[Any, ...]  # tag, letter of FORMATS, values
IDENTITY = (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)


class TiffWriter:
    """Little-endian TIFF directories one after the other."""

    def __init__(self) -> None:
        self.data = bytearray(b"II*\0" + bytes(4))

    def add(self, body: bytes) -> int:
        self.data += bytes(-len(self.data) % 4)
        self.data += body
        return len(self.data) - len(body)

    def directory(self, *entries: Entry) -> int:
        rows = b""
        for tag, kind, *values in sorted(entries):
            code, size, letter = FORMATS[kind]
            body = values[0] if kind == "A" else struct.pack(f"<{len(values)}{letter}", *values)
            field = body.ljust(4, b"\0") if len(body) <= 4 else struct.pack("<I", self.add(body))
            rows += struct.pack("<HHI", tag, code, len(body) // size) + field
        return self.add(struct.pack("<H", len(entries)) + rows + bytes(4))

    def finish(self, first: int) -> bytes:
        self.data[4:8] = struct.pack("<I", first)
        return bytes(self.data)


def dng(
    orientation: int = 1,
    preview_px: tuple[int, int] = (960, 640),
    preview_exif: Image.Exif | None = None,
    sensor_data: np.ndarray | None = None,
) -> bytes:
    """A DNG as cameras write it: a thumbnail first, then the sensor's mosaic and a JPEG preview in sub-directories."""
    samples = np.full((64, 96), 1000, np.uint16) if sensor_data is None else sensor_data
    rows, columns = samples.shape
    width, height = preview_px
    picture = Image.new("RGB", preview_px, (200, 50, 20))
    picture.paste((0, 0, 255), (0, 0, width // 2, height // 2))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=95, **({"exif": preview_exif} if preview_exif else {}))
    jpeg = stream.getvalue()
    if preview_exif:  # cameras begin with EXIF, without the 18 bytes of JFIF that Pillow puts first
        jpeg = jpeg[:2] + jpeg[20:]
    tiff = TiffWriter()
    mosaic = tiff.add(samples.tobytes())
    sensor = tiff.directory(
        (254, "L", 0), (256, "L", columns), (257, "L", rows), (258, "H", 16), (259, "H", 1), (262, "H", 32803),
        (273, "L", mosaic), (277, "H", 1), (278, "L", rows), (279, "L", samples.nbytes), (33421, "H", 2, 2),
        (33422, "B", 0, 1, 1, 2), (50717, "L", 4095),
    )  # fmt: skip
    preview = tiff.directory(
        (254, "L", 1), (256, "L", width), (257, "L", height), (258, "H", 8, 8, 8), (259, "H", 7), (262, "H", 6),
        (273, "L", tiff.add(jpeg)), (277, "H", 3), (278, "L", height), (279, "L", len(jpeg)),
    )  # fmt: skip
    thumbnail = tiff.add(bytes(16 * 24 * 3))
    first = tiff.directory(
        (254, "L", 1), (256, "L", 24), (257, "L", 16), (258, "H", 8, 8, 8), (259, "H", 1), (262, "H", 2),
        (271, "A", b"Test\0"), (272, "A", b"Camera\0"), (273, "L", thumbnail), (274, "H", orientation), (277, "H", 3),
        (278, "L", 16), (279, "L", 16 * 24 * 3), (330, "L", sensor, preview), (50706, "B", 1, 4, 0, 0),
        (50708, "A", b"Test Camera\0"), (50721, "S", *IDENTITY), (50778, "H", 21),
    )  # fmt: skip
    return tiff.finish(first)


def bare_tiff(*entries: Entry) -> bytes:
    tiff = TiffWriter()
    return tiff.finish(tiff.directory(*entries))


def heic(exif: Image.Exif | None = None) -> bytes:
    heif = pytest.importorskip("pillow_heif")
    photo = Image.new("RGB", (96, 64), (200, 50, 20))
    photo.paste((20, 40, 220), (0, 0, 48, 32))
    stream = io.BytesIO()
    heif.from_pillow(photo).save(stream, quality=95, **({"exif": exif.tobytes()} if exif else {}))
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"II*\0\x10\0\0\0CR\x02\0" + bytes(40),
        b"FUJIFILMCCD-RAW 0201" + bytes(40),
        b"IIRO\x08\0\0\0" + bytes(40),
        b"IIRS\x08\0\0\0" + bytes(40),
        b"IIU\0\x18\0\0\0" + bytes(40),
        b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom",
        bare_tiff((254, "L", 1), (271, "A", b"NIKON CORPORATION\0"), (330, "L", 8, 9)),
        bare_tiff((254, "L", 1), (259, "H", 6), (271, "A", b"SONY\0"), (330, "L", 8)),
        bare_tiff((259, "H", 65535), (271, "A", b"PENTAX\0")),
        bare_tiff((50706, "B", 1, 4, 0, 0)),
    ],
    ids=["cr2", "raf", "orf", "orf-old", "rw2", "cr3", "nef", "arw", "pef", "dng"],
)
def test_raw_files_are_told_from_ordinary_tiffs(data: bytes) -> None:
    assert identify(data) == "raw"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on the damage
def test_ordinary_tiffs_are_not_taken_for_raw() -> None:
    # the second is a pyramid of a scanner that states its maker: reduced pictures hang below the full one
    assert identify(bare_tiff((256, "L", 8), (271, "A", b"EPSON\0"))) == "tiff"
    assert identify(bare_tiff((254, "L", 0), (271, "A", b"EPSON\0"), (330, "L", 8))) == "tiff"
    assert identify(b"II*\0\xff\xff\xff\x7f") == "tiff"


def test_a_raw_files_preview_is_its_photo() -> None:
    pytest.importorskip("rawpy")
    assert photo_size(dng()) == (640, 960)
    photo = decode_photo(dng())
    assert photo.shape == (640, 960, 3)
    assert photo[10, 10].tolist() == pytest.approx([0, 0, 255], abs=4)
    assert decode_photo(dng(), target_size=(100, 100)).shape == (100, 100, 3)


@pytest.mark.parametrize("preview_has_exif", [False, True])
@pytest.mark.parametrize(("orientation", "blue_at"), [(3, (-10, -10)), (6, (10, -10)), (8, (-10, 10))])
def test_a_raw_files_preview_is_turned_upright(
    orientation: int, blue_at: tuple[int, int], preview_has_exif: bool
) -> None:
    """Also where the preview has EXIF that does not say how the camera was held."""
    pytest.importorskip("rawpy")
    exif = Image.Exif()
    exif[0x010F] = "Test"
    photo = decode_photo(dng(orientation, preview_exif=exif if preview_has_exif else None))
    assert photo.shape == ((640, 960, 3) if orientation == 3 else (960, 640, 3))
    assert photo[blue_at].tolist() == pytest.approx([0, 0, 255], abs=4)


def test_a_preview_that_is_upright_already_is_not_turned() -> None:
    pytest.importorskip("rawpy")
    exif = Image.Exif()
    exif[0x0112] = 1
    photo = decode_photo(dng(6, preview_exif=exif))
    assert photo.shape == (640, 960, 3)


def test_a_stamp_sized_preview_is_refused_where_the_sensor_is_no_larger() -> None:
    pytest.importorskip("rawpy")
    with pytest.raises(PhotoError, match="a preview of 160x120 pixels and half a sensor is 48x32, too few") as caught:
        decode_photo(dng(preview_px=(160, 120)))
    assert caught.value.reason == "undecodable"


def _sensor_data() -> np.ndarray:
    """A red square at the top left of a gray field that gets brighter to the right, on a mosaic of RGGB, with noise."""
    gray = np.tile(np.linspace(300, 3000, 1600), (1200, 1)) + np.random.default_rng(0).normal(0, 5, (1200, 1600))
    red = gray[:200, :200]
    red[:] = 100
    red[::2, ::2] = 2500
    return gray.astype(np.uint16)


@pytest.mark.parametrize(("orientation", "red_at"), [(1, (20, 20)), (3, (-20, -20)), (6, (20, -20)), (8, (-20, 20))])
def test_where_no_preview_is_large_enough_the_sensors_data_are_developed(
    orientation: int, red_at: tuple[int, int]
) -> None:
    pytest.importorskip("rawpy")
    data = dng(orientation, preview_px=(160, 120), sensor_data=_sensor_data())
    photo = decode_photo(data)
    assert photo.shape == ((600, 800, 3) if orientation in (1, 3) else (800, 600, 3))
    assert photo_size(data) == photo.shape[:2]
    red, green, blue = photo[red_at].astype(int)
    assert red > 2 * max(green, blue)
    upright = np.rot90(photo, {1: 0, 3: 2, 6: 1, 8: 3}[orientation]).astype(int)
    row = upright[400].mean(axis=1)
    assert row[100] < row[400] < row[700]
    assert decode_photo(data, target_size=(60, 80)).shape == (60, 80, 3)
    assert photo_exif(data)[272] == "Camera"


def test_a_previews_facts_are_those_of_the_raw_file() -> None:
    """And not those that LibRaw makes for a preview without EXIF, which has the year 1970 where there is no time."""
    pytest.importorskip("rawpy")
    exif = photo_exif(dng())
    assert exif[272] == "Camera"
    assert 0x0132 not in exif
    assert "dcraw" not in str(exif)


def test_a_sensor_without_colours_is_developed_in_full() -> None:
    pytest.importorskip("rawpy")
    gray = dng(preview_px=(160, 120), sensor_data=_sensor_data())
    mosaic, linear = struct.pack("<HHII", 262, 3, 1, 32803), struct.pack("<HHII", 262, 3, 1, 34892)
    assert mosaic in gray
    photo = decode_photo(gray.replace(mosaic, linear))
    assert photo.shape == (1200, 1600, 3)
    assert photo_size(gray.replace(mosaic, linear)) == (1200, 1600)
    assert np.array_equal(photo[..., 0], photo[..., 2])


def test_a_sensor_whose_rows_were_lost_is_not_developed() -> None:
    pytest.importorskip("rawpy")
    whole = dng(preview_px=(160, 120), sensor_data=_sensor_data())
    with pytest.raises(PhotoError, match="lost") as caught:
        decode_photo(whole.replace(_sensor_data()[600:].tobytes(), bytes(600 * 1600 * 2)))
    assert caught.value.reason == "undecodable"
    at = whole.index(_sensor_data().tobytes())
    moved = bytearray(whole)
    moved[at : at + 1600 * 2] = bytes(1600 * 2)
    with pytest.raises(PhotoError, match="lost"):
        decode_photo(bytes(moved))
    with pytest.raises(PhotoError):
        decode_photo(whole[: at + 1000])


def test_a_damaged_raw_file_is_undecodable() -> None:
    pytest.importorskip("rawpy")
    with pytest.raises(PhotoError, match="raw file") as caught:
        decode_photo(b"FUJIFILMCCD-RAW 0201" + bytes(400))
    assert caught.value.reason == "undecodable"
    assert "b'" not in caught.value.message


def test_limits_hold_for_a_raw_files_preview() -> None:
    pytest.importorskip("rawpy")
    with pytest.raises(PhotoError) as caught:
        decode_photo(dng(), max_pixels=1000)
    assert caught.value.reason == "too_many_pixels"


def test_without_the_raw_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(PhotoError, match=r"pip install rawpy \(the extra dbd-ray\[raw\]\)") as caught:
        decode_photo(dng())
    assert caught.value.reason == "needs_extra_raw"


def test_heic_is_decoded() -> None:
    data = heic()
    assert photo_size(data) == (64, 96)
    photo = decode_photo(data)
    assert photo.shape == (64, 96, 3)
    assert photo[5, 5].tolist() == pytest.approx([20, 40, 220], abs=12)
    assert decode_photo(data, target_size=(20, 30)).shape == (20, 30, 3)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("model", ["L", "LA", "RGB", "RGBA", "RGBa"])
def test_heic_of_every_model_and_depth_is_the_picture_that_was_written(model: str, bits: int) -> None:
    heif = pytest.importorskip("pillow_heif")
    y, x = np.mgrid[0:64, 0:96]
    colour = np.stack([x * 2.6, y * 3.9, (x + y) * 1.6], 2)[..., : 3 if "RGB" in model else 1]
    share = np.clip(1 - x[..., None] / 128, 0, 1) if model[-1] in "Aa" else np.ones((64, 96, 1))
    samples = np.dstack([colour * share if model == "RGBa" else colour, *([share * 255] if model[-1] in "Aa" else [])])
    stored = np.rint(samples).astype(np.uint8) if bits == 8 else np.rint(samples * 257).astype(np.uint16)
    stream = io.BytesIO()
    mode = model if bits == 8 else f"{model};16"
    lossless = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
    heif.from_bytes(mode, (96, 64), stored.tobytes()).save(stream, **lossless)
    assert np.abs(decode_photo(stream.getvalue()) - (colour * share + 255 * (1 - share))).max() <= 2


def test_a_turned_heic_is_upright_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = decode_photo(heic(exif))
    assert photo_size(heic(exif)) == photo.shape[:2]
    heif = pytest.importorskip("pillow_heif")
    upright = np.asarray(heif.open_heif(io.BytesIO(heic(exif))).to_pillow())
    assert photo.shape == upright.shape


def test_a_truncated_heic_is_truncated() -> None:
    with pytest.raises(PhotoError) as caught:
        decode_photo(heic()[:-100])
    assert caught.value.reason == "truncated"


def test_decoding_heic_leaves_pillow_as_it_was() -> None:
    before = set(Image.registered_extensions())
    decode_photo(heic())
    assert set(Image.registered_extensions()) == before


def test_without_the_heif_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PhotoError, match=r"pip install pillow-heif \(the extra dbd-ray\[heif\]\)") as caught:
        photo_size(data)
    assert caught.value.reason == "needs_extra_heif"


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_avif_needs_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), (10, 200, 30)).save(stream, "AVIF")
    assert decode_photo(stream.getvalue()).shape == (30, 40, 3)
