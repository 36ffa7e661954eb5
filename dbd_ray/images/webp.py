"""WebP files: their size from the header alone, and whether a part of their coded pixels was lost."""

import io
import struct
from collections.abc import Iterator

from PIL import WebPImagePlugin

from dbd_ray.images.lost import LOST

_FRAME_HEADER_BYTES = 10  # of VP8: RFC 6386, section 9.1
_FLAT_BITS_PER_MACROBLOCK = 0.25  # zeros of a picture of one colour: at most .2 were measured
_SPARE_BYTES = 16


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Read a WebP file's (height, width) without its decoder, which allocates the canvas as soon as it is made."""
    chunk = data[12:16]
    if chunk == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[27:30], "little") + 1, int.from_bytes(data[24:27], "little") + 1
    if chunk == b"VP8 " and len(data) >= 30:
        width, height = struct.unpack_from("<HH", data, 26)
        return height & 0x3FFF, width & 0x3FFF
    if chunk == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    return None


def webp_lacks_part(data: bytes) -> bool:
    """Tell whether zeros stand in the place of coded pixels in a WebP file's first picture.

    Args:
        data: The whole file.
    """
    for kind, start, end in _chunks(data):
        if kind in (b"VP8L", b"ALPH") and data.find(LOST, start, end) >= 0 and _has_spare_bytes(data, start, end):
            return True
        if kind == b"VP8 ":
            return _lossy_lacks_part(data, start, end)
        if kind == b"VP8L":
            return False
    return False


def _lossy_lacks_part(data: bytes, start: int, end: int) -> bool:
    if end - start < _FRAME_HEADER_BYTES:
        return False
    width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, start + 6))
    macroblocks = -(-width // 16) * -(-height // 16)
    flat = bytes(max(len(LOST), int(macroblocks * _FLAT_BITS_PER_MACROBLOCK / 8)))
    return data.find(flat, start + _FRAME_HEADER_BYTES, end) >= 0


def _has_spare_bytes(data: bytes, start: int, end: int) -> bool:
    # lossless coding may write zeros for flat areas. Lost bytes that are read as such cover more pixels than they held,
    # so that the last bytes are not needed any more
    kept = data[start : end - _SPARE_BYTES]
    shorter = data[: start - 4] + struct.pack("<I", len(kept)) + kept + bytes(len(kept) % 2)
    shorter += data[end + (end - start) % 2 :]
    try:
        WebPImagePlugin.WebPImageFile(io.BytesIO(b"RIFF" + struct.pack("<I", len(shorter) - 8) + shorter[8:])).load()
    except (OSError, ValueError, EOFError):
        return False
    return True


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = 12
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if kind == b"ANMF":  # a frame's own chunks follow its place and duration
            at += 24
            continue
        yield kind, at + 8, min(at + 8 + size, len(data))
        at += 8 + size + size % 2
