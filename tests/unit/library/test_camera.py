"""What the camera wrote is read, and what makes no sense is none."""

import io
from datetime import datetime
from typing import Any

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from dbd_ray.library.camera import CAMERA_COLUMNS, camera_facts


def photo(main: dict[int, Any], details: dict[int, Any], format: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif.update(main)
    exif.get_ifd(0x8769).update(details)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, format, exif=exif.tobytes())
    return file.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_time_camera_lens_and_exposure_are_read(format: str) -> None:
    details = {0x9003: "2024:02:29 23:59:58", 0x9291: "5", 0xA434: "RF50mm F1.2 L USM", 0x829A: IFDRational(1, 8000)}
    details |= {0x829D: IFDRational(12, 10), 0x8827: 100, 0x920A: IFDRational(50, 1)}
    facts = camera_facts(photo({0x010F: "Canon", 0x0110: "Canon EOS R6", 0x0112: 6}, details, format))
    assert facts == {
        "taken_at": datetime(2024, 2, 29, 23, 59, 58, 500_000),
        "camera": "Canon EOS R6",
        "lens": "RF50mm F1.2 L USM",
        "focal_length_mm": 50.0,
        "f_number": 1.2,
        "iso": 100,
        "exposure_s": 0.000125,
        "orientation": 6,
    }


def test_the_maker_stands_before_a_model_that_does_not_name_it() -> None:
    assert camera_facts(photo({0x010F: "NIKON CORPORATION", 0x0110: "NIKON Z 6"}, {}))["camera"] == "NIKON Z 6"
    assert camera_facts(photo({0x010F: "SONY", 0x0110: "ILCE-7M3"}, {}))["camera"] == "SONY ILCE-7M3"


@pytest.mark.parametrize("time", ["0000:00:00 00:00:00", "    :  :     :  :  ", "2024:13:45 99:00:00", "yesterday", ""])
def test_a_time_that_is_none_is_none(time: str) -> None:
    assert camera_facts(photo({}, {0x9003: time}))["taken_at"] is None


def test_numbers_that_are_none_are_none() -> None:
    details = {0x829D: IFDRational(0, 0), 0x8827: 0, 0x920A: IFDRational(5, 0), 0x829A: IFDRational(0, 1)}
    facts = camera_facts(photo({0x0112: 9}, details))
    assert {facts[name] for name in ("f_number", "iso", "focal_length_mm", "exposure_s")} == {None}
    assert facts["orientation"] == 1


@pytest.mark.parametrize("data", [b"", b"no photo", photo({}, {})[:30]])
def test_a_file_without_facts_has_none(data: bytes) -> None:
    facts = camera_facts(data)
    assert {facts[name] for name in CAMERA_COLUMNS} == {None}
