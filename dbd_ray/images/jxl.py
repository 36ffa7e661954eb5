"""JPEG XL files: their size from the header alone, and opening them with the extra package that decodes them."""

import io

from PIL import Image

from dbd_ray.errors import PhotoError
from dbd_ray.images.containers import JXL_CODESTREAM
from dbd_ray.images.extra import needs_extra
from dbd_ray.images.heif import boxes

_ORIENTATION_TAG = 0x0112
_HEADER_BYTES = 16  # the size takes 11 at most
_SIDE_BITS = (9, 13, 18, 30)
_RATIOS = {1: (1, 1), 2: (6, 5), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}  # width ÷ height


def jxl_size(data: bytes) -> tuple[int, int] | None:
    """Read a JPEG XL file's (height, width) without its decoder, which decodes all pixels as soon as it is made.

    Follows SizeHeader of ISO/IEC 18181-1.

    Args:
        data: The whole file.

    Returns:
        The size before any turning, px; None where the header ends early.
    """
    header = data[: len(JXL_CODESTREAM) + _HEADER_BYTES] if data.startswith(JXL_CODESTREAM) else _codestream(data)
    if len(header) < len(JXL_CODESTREAM) + 1 or not header.startswith(JXL_CODESTREAM):
        return None
    bits = int.from_bytes(header[len(JXL_CODESTREAM) :].ljust(_HEADER_BYTES, b"\0"), "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    small = take(1)
    height = 8 * (take(5) + 1) if small else take(_SIDE_BITS[take(2)]) + 1
    ratio = take(3)
    if ratio:
        across, down = _RATIOS[ratio]
        return height, height * across // down
    return height, 8 * (take(5) + 1) if small else take(_SIDE_BITS[take(2)]) + 1


def open_jxl(data: bytes) -> Image.Image:
    """Decode a JPEG XL file.

    Args:
        data: The whole file.

    Raises:
        PhotoError: `needs_extra_jxl` where pillow-jxl-plugin is not installed, or does not load; `undecodable` where
            the file is damaged.
    """
    try:
        from pillow_jxl.JpegXLImagePlugin import JXLImageFile
    except ImportError as error:
        raise needs_extra(error, "JPEG XL photos", "pillow-jxl-plugin", "jxl", "needs_extra_jxl") from None
    try:
        image: Image.Image = JXLImageFile(io.BytesIO(data))
    except RuntimeError:  # which names no cause
        raise PhotoError(
            "undecodable", "this JPEG XL file is damaged, or ends before its picture does: copy it again"
        ) from None
    if not getattr(image, "jpeg", False):
        # turned by the codestream's own orientation, which counts before that of EXIF
        image.getexif()[_ORIENTATION_TAG] = 1
    return image


def _codestream(data: bytes) -> bytes:
    start = b""
    for kind, (at, end) in boxes(data, 0, len(data)):
        if kind == b"jxlc":
            return data[at : min(end, at + _HEADER_BYTES)]
        if kind == b"jxlp":  # parts, each with its number in front
            start += data[at + 4 : min(end, at + 4 + _HEADER_BYTES)]
            if len(start) >= _HEADER_BYTES:
                break
    return start
