"""Reading one photo from a file or from memory."""

from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dbd_ray.errors import DbdRayError, PhotoError
from dbd_ray.images.decode import decode_photo
from dbd_ray.names import MAX_PIXELS


def read_photo(
    photo: str | PathLike[str] | bytes | bytearray | memoryview | BinaryIO, *, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Read a photo as it is meant to be seen: upright, in sRGB, without transparency.

    Args:
        photo: Path of a local file, the bytes of an encoded photo, or a file that is open for reading bytes; for the
            formats see `images.decode_photo`.
        max_pixels: Largest height x width that is decoded, checked before memory is taken.

    Returns:
        uint8 RGB, HxWx3.

    Raises:
        PhotoError: With a stable `reason`, when this is no photo that can be used; names the file that a path gave.
        DbdRayError: The file is missing or cannot be read; names the file.
        MemoryError: There is not enough memory for its pixels.
        TypeError: Something else was given, for instance an array.
    """
    if isinstance(photo, bytes | bytearray | memoryview):
        return decode_photo(bytes(photo), max_pixels=max_pixels)
    if hasattr(photo, "read"):
        data = photo.read()
        if not isinstance(data, bytes):
            raise TypeError('expected a file that is open for reading bytes, got one of text; open it with mode "rb"')
        if not data and _stands_at_end(photo):
            raise PhotoError("empty_file", "the open file stands at its end, nothing is left to read: seek(0) first")
        return decode_photo(data, max_pixels=max_pixels)
    if not isinstance(photo, str | PathLike):
        raise TypeError(
            f"expected the path, the bytes or the open file of a photo, got {type(photo).__name__}; "
            "Detector.detect takes arrays of pixels as they are"
        )
    try:
        data = Path(photo).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise DbdRayError(f"{photo}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    try:
        return decode_photo(data, max_pixels=max_pixels)
    except PhotoError as error:
        raise PhotoError(error.reason, f"{photo}: {error.message}") from error


def _stands_at_end(file: Any) -> bool:
    try:
        return file.seekable() and file.tell() > 0
    except (AttributeError, OSError):  # a pipe, or something that can only be read
        return False
