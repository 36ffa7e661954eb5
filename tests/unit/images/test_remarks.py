"""Decoders in C write no lines of photos that they cannot name."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dbd_ray.errors import PhotoError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.remarks import libraw_heard

SHARED = Path(os.environ.get("DBD_SHARED", Path(__file__).parents[3] / "shared"))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate"])
def test_a_damaged_tiff_is_refused_without_a_line_of_libtiff(
    compression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "TIFF", compression=compression)
    data = stream.getvalue()
    for place in range(100, 1000, 90):
        damaged = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        try:
            decode_photo(damaged)
        except PhotoError as error:
            assert error.reason == "undecodable"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["exiftool__FujiFilm.raf", "exiftool__Nikon.nef"])
def test_a_damaged_raw_file_is_refused_without_a_line_of_libraw(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    photo = SHARED / "data" / "camera_files" / name
    if not photo.is_file():
        pytest.skip(f"{photo} is absent; set DBD_SHARED to where it is")
    with pytest.raises(PhotoError, match=r"undecodable") as refused:
        decode_photo(photo.read_bytes())
    assert "b'" not in str(refused.value)
    assert capfd.readouterr().err == ""


def test_remarks_of_libraw_are_heard_and_lines_of_others_are_kept(capfd: pytest.CaptureFixture[str]) -> None:
    with libraw_heard() as remarks:
        os.write(2, b"unknown file: data corrupted at 12\nanother thread's line\n")
    assert remarks == ["data corrupted at 12"]
    assert capfd.readouterr().err == "another thread's line\n"
