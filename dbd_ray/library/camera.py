"""What the camera wrote into a photo: time, camera, lens and exposure, as columns of the library's table."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from dbd_ray.errors import PhotoError
from dbd_ray.images.decode import photo_exif
from dbd_ray.images.masks import exif_orientation

T = TypeVar("T")

_MAKE, _MODEL, _CHANGED = 0x010F, 0x0110, 0x0132
_TAKEN, _SUBSECONDS, _LENS = 0x9003, 0x9291, 0xA434
_EXPOSURE, _F_NUMBER, _ISO, _FOCAL_LENGTH = 0x829A, 0x829D, 0x8827, 0x920A

CAMERA_COLUMNS = ("taken_at", "camera", "lens", "focal_length_mm", "f_number", "iso", "exposure_s")


def camera_facts(data: bytes) -> dict[str, Any]:
    """Read what the camera wrote.

    Args:
        data: The encoded photo.

    Returns:
        A value by each of `CAMERA_COLUMNS`, None where it is missing or makes no sense, and the EXIF `orientation`.
    """
    try:
        exif = photo_exif(data)
    except (PhotoError, MemoryError):  # decoding tells what is wrong with the photo
        exif = {}
    return {
        "taken_at": _time(exif.get(_TAKEN) or exif.get(_CHANGED), exif.get(_SUBSECONDS)),
        "camera": _camera(exif),
        "lens": _text(exif.get(_LENS)),
        "focal_length_mm": _number(exif.get(_FOCAL_LENGTH)),
        "f_number": _number(exif.get(_F_NUMBER)),
        "iso": _whole(exif.get(_ISO)),
        "exposure_s": _number(exif.get(_EXPOSURE), digits=9),
        "orientation": exif_orientation(exif),
    }


def _camera(exif: dict[int, Any]) -> str | None:
    make, model = _text(exif.get(_MAKE)), _text(exif.get(_MODEL))
    if make and model and not model.lower().startswith(make.lower().split()[0]):
        return f"{make} {model}"
    return model or make


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if not isinstance(value, str):
        return None
    # a text ends at its first zero; what is no UTF-8 came as lone surrogates
    cleaned = value.partition("\0")[0].encode(errors="replace").decode().strip()
    return cleaned or None


def _time(value: Any, subseconds: Any) -> datetime | None:
    text = _text(value)
    found = re.match(r"(\d{4})\D(\d\d)\D(\d\d)\D(\d\d)\D(\d\d)\D(\d\d)", text) if text else None
    if not found:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    digits = re.match(r"\d+", _text(subseconds) or "")
    microseconds = int(digits[0].ljust(6, "0")[:3]) * 1000 if digits else 0
    return _or_none(lambda: datetime(year, month, day, hour, minute, second, microseconds))


def _number(value: Any, digits: int = 4) -> float | None:
    number = _or_none(lambda: round(float(value), digits))
    return number if number is not None and 0 < number < 1e6 else None  # neither 0/0 nor NaN


def _whole(value: Any) -> int | None:
    number = _number(value[0] if isinstance(value, tuple | list) and value else value)
    return round(number) if number is not None else None


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None
