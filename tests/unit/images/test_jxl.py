"""JPEG XL photos: measured before they are decoded, and decoded upright, with an extra."""

import io
import sys

import numpy as np
import pytest
from PIL import ExifTags, Image

from dbd_ray.errors import PhotoError
from dbd_ray.images.containers import PHOTO_SUFFIXES, identify
from dbd_ray.images.decode import decode_photo, photo_size
from dbd_ray.images.jxl import jxl_size

# headers of files that libjxl wrote, bare and in a container; the last one's codestream is split into parts
HEADERS = {
    "ff0a41060013880200bc00b59f200000": (8, 8),
    "ff0a0f0700138802000c01b59f200000": (64, 96),
    "ff0aff0700138802004841080c000000": (256, 512),
    "ff0a3107001388020050c10a0c000000": (200, 300),
    "ff0a4218e87c0c00138802006cc04574": (777, 1000),
    "ff0ac1070013880200c000b59f200000": (8, 16),
    "ff0a4880deee001388020068000ff040": (10, 6000),
    "0000000c4a584c200d0a870a00000014667479706a786c20000000006a786c20"
    "000001806a786c63ff0a4218e87c0c00138802006cc04574": (777, 1000),
    "0000000c4a584c200d0a870a00000014667479706a786c20000000006a786c20"
    "0000000f6a786c7000000000ff0a42" "000000146a786c708000000118e87c0c00138802": (777, 1000),
}  # fmt: skip


def _jxl(photo: np.ndarray, **options: object) -> bytes:
    pytest.importorskip("pillow_jxl")
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, "JXL", **options)
    return stream.getvalue()


@pytest.mark.parametrize("header", HEADERS)
def test_a_photo_is_measured_by_its_header_alone(header: str) -> None:
    data = bytes.fromhex(header)
    assert identify(data) == "jxl"
    assert jxl_size(data) == HEADERS[header]
    with pytest.raises(PhotoError) as caught:  # before any decoder sees it
        decode_photo(data, max_pixels=63)
    assert caught.value.reason == "too_many_pixels"


def test_without_the_jxl_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ".jxl" in PHOTO_SUFFIXES
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    monkeypatch.setitem(sys.modules, "pillow_jxl.JpegXLImagePlugin", None)
    with pytest.raises(PhotoError, match=r"pip install pillow-jxl-plugin \(the extra dbd-ray\[jxl\]\)") as caught:
        photo_size(bytes.fromhex(next(iter(HEADERS))))
    assert caught.value.reason == "needs_extra_jxl"


def test_jpeg_xl_is_decoded_as_it_is_shown() -> None:
    photo = np.zeros((40, 60, 3), np.uint8)
    photo[:10, :20] = 250
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # counts for nothing beside the codestream's own
    for data in (_jxl(photo, quality=95), _jxl(photo, quality=95, exif=exif.tobytes())):
        shown = decode_photo(data)
        assert shown.shape == photo.shape
        assert np.abs(shown.astype(int) - photo).mean() < 3
    truncated = _jxl(photo)
    with pytest.raises(PhotoError, match="JPEG XL file is damaged, or ends before") as caught:
        decode_photo(truncated[: len(truncated) // 2])
    assert caught.value.reason == "undecodable"
