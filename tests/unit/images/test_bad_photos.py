"""Bad files end in a PhotoError with a stable reason, before they cost memory."""

import io
import pickle
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dbd_ray.errors import PhotoError
from dbd_ray.images.decode import decode_photo, photo_size

NOISE = np.random.default_rng(0).integers(0, 256, (160, 240, 3), np.uint8)


def encoded(format: str, image: Image.Image | None = None) -> bytes:
    stream = io.BytesIO()
    (image or Image.fromarray(NOISE)).save(stream, format)
    return stream.getvalue()


def reason_of(data: bytes, **limits: Any) -> str:
    with pytest.raises(PhotoError) as caught:
        decode_photo(data, **limits)
    return caught.value.reason


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def webp_header(width: int, height: int) -> bytes:
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4)
    body += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_zero_bytes_are_an_empty_file() -> None:
    assert reason_of(b"") == "empty_file"
    with pytest.raises(PhotoError, match="0 bytes"):
        photo_size(b"")


@pytest.mark.parametrize(
    "data", [b"Dear diary, this is text renamed to .jpg\n" * 20, b"\xff", b"%PDF-1.7", b"\0" * 64, b"<svg></svg>"]
)
def test_text_renamed_to_jpg_is_not_an_image(data: bytes) -> None:
    assert reason_of(data) == "not_an_image"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_cut_short_is_truncated(format: str, share: float) -> None:
    data = encoded(format)
    assert reason_of(data[: int(len(data) * share)]) == "truncated"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"])
def test_a_file_cut_within_its_header_is_truncated(format: str) -> None:
    assert reason_of(encoded(format)[:24]) == "truncated"


def test_a_truncated_jpeg_is_refused_at_reduced_scale_too() -> None:
    data = encoded("JPEG", Image.fromarray(NOISE).resize((2400, 1600)))
    assert reason_of(data[: len(data) // 2], target_size=(100, 100)) == "truncated"


def test_a_damaged_but_complete_file_is_undecodable() -> None:
    data = bytearray(encoded("PNG"))
    compressed = data.index(b"IDAT") + 4
    data[compressed : compressed + 8] = b"\xff" * 8
    assert reason_of(bytes(data)) == "undecodable"


def test_damage_that_has_no_name_is_said_to_be_damage() -> None:
    png = encoded("PNG", Image.fromarray(NOISE).quantize(8))
    palette = png.index(b"PLTE") - 4
    png = png[:palette] + png[palette + 12 + 3 * 8 :]
    stream = io.BytesIO()
    Image.fromarray(NOISE).save(stream, "TIFF", compression="tiff_lzw")
    tiff = bytearray(stream.getvalue())
    tiff[1000:1400] = b"\xff" * 400
    for data in (png, bytes(tiff)):
        with pytest.raises(PhotoError, match=r"the pixels of this \w+ file are damaged: copy it again"):
            decode_photo(data)


@pytest.mark.parametrize("data", [png_header(30_000, 30_000), webp_header(30_000, 30_000)], ids=["png", "webp"])
def test_a_giant_picture_is_refused_by_its_header(data: bytes) -> None:
    assert reason_of(data) == "too_many_pixels"
    with pytest.raises(PhotoError, match="30000x30000"):
        photo_size(data)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_unless_it_was_allowed() -> None:
    with pytest.raises(
        PhotoError, match=r"22000x22000 .* raise max_pixels \(--max-pixels of predict, --set max_pixels=N"
    ):
        photo_size(png_header(22_000, 22_000))
    assert photo_size(png_header(22_000, 22_000), max_pixels=22_000**2) == (22_000, 22_000)


def test_the_largest_cameras_photos_are_within_the_limit() -> None:
    assert photo_size(png_header(14_204, 10_652)) == (10_652, 14_204)  # 151 megapixels, medium format


@pytest.mark.filterwarnings("error")
def test_our_limit_decides_and_not_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for format in ("JPEG", "PNG", "BMP", "TIFF", "GIF", "AVIF"):
        assert decode_photo(encoded(format), max_pixels=160 * 240).shape == (160, 240, 3)
        assert reason_of(encoded(format), max_pixels=160 * 240 - 1) == "too_many_pixels"


def test_pillows_own_guard_inside_its_webp_decoder_is_reported_as_too_many_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert reason_of(encoded("WEBP")) == "too_many_pixels"


def test_a_large_file_is_refused_unread() -> None:
    data = encoded("PNG")
    assert reason_of(data, max_bytes=len(data) - 1) == "too_many_bytes"
    assert decode_photo(data, max_bytes=len(data)).shape == (160, 240, 3)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on the damage
def test_random_damage_never_raises_anything_else() -> None:
    random = np.random.default_rng(1)
    for format in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        original = encoded(format, Image.fromarray(NOISE[:40, :60]))
        for _ in range(60):
            data = bytearray(original)
            # most of the damage goes to the header, where it hurts
            for at in random.integers(3, min(len(data), 300), 4):
                data[at] = random.integers(256)
            try:
                assert decode_photo(bytes(data), max_pixels=10**7).ndim == 3
            except PhotoError as error:
                assert error.reason in {"truncated", "undecodable", "too_many_pixels", "not_an_image"}


def test_the_reason_survives_pickling_between_processes() -> None:
    with pytest.raises(PhotoError) as caught:
        decode_photo(encoded("JPEG")[:500])
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
    assert (copy.reason, copy.message, str(copy)) == (caught.value.reason, caught.value.message, str(caught.value))
    assert "copy it again" in str(copy)
