"""Names of files that are worth opening, and what is in them."""

import io

import pytest
from PIL import Image

from dbd_ray.images.containers import PHOTO_SUFFIXES, identify
from dbd_ray.images.decode import decode_photo


@pytest.mark.parametrize("suffix", [".jpe", ".jfif", ".jif", ".mpo", ".hif"])
def test_photos_under_their_formats_rarer_names_are_found_and_decoded(suffix: str) -> None:
    photo, stream = Image.new("RGB", (64, 48), (200, 50, 20)), io.BytesIO()
    if suffix == ".hif":
        pytest.importorskip("pillow_heif").from_pillow(photo).save(stream)
    else:
        photo.save(
            stream, "MPO" if suffix == ".mpo" else "JPEG", **({"append_images": [photo]} if suffix == ".mpo" else {})
        )
    assert suffix in PHOTO_SUFFIXES
    assert decode_photo(stream.getvalue()).shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("suffix", "begins"),
    [
        (".mrw", b"\0MRM\0\0\0\0\0PRD"),
        (".crw", b"II\x1a\0\0\0HEAPCCDR"),
        (".rwl", b"IIU\0\x18\0\0\0"),
    ],
)
def test_raw_files_that_are_found_by_name_are_known_by_their_first_bytes(suffix: str, begins: bytes) -> None:
    assert suffix in PHOTO_SUFFIXES
    assert identify(begins + bytes(64)) == "raw"
