"""PNG files: what does not make their pixels decides nothing, and rows that are missing are noticed."""

import io
import zlib
from collections.abc import Iterator
from typing import Any

from PIL import PngImagePlugin

from dbd_ray.images.lost import LOST, lost_part

_LARGEST_PROFILE_BYTES = 2**24
_CLEAR_BYTES = {0: (2,), 2: (6,), 3: range(1, 257)}  # of tRNS, by colour type; of another length it says nothing
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type
_WHOLE = ((0, 0, 1, 1),)
# (left, top, step right, step down) of each pass of an interlaced picture: PNG specification, section 8.2
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_ZLIB_HEADER_BYTES = 2
_BLOCK_BYTES = 1 << 14  # which unpack to 16 MiB at most


class PngFile(PngImagePlugin.PngImageFile):
    """A PNG file as Pillow opens it, which must have all rows that its header states.

    Args:
        data: The whole file.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(_pixels(data)))
        if exif := _exif(data):
            self.info["exif"] = b"Exif\0\0" + exif
        if profile := _profile(data):
            self.info["icc_profile"] = profile
        clear = self.info.get("transparency")
        depth = data[24]
        if isinstance(clear, tuple) and depth == 16:  # Pillow keeps the upper half of such pixels only
            self.info["transparency"] = tuple(level >> 8 for level in clear)
        elif isinstance(clear, int) and self.mode == "L":  # whose levels Pillow spreads over 8 bits
            self.info["transparency"] = clear * 255 // (2**depth - 1)

    def load(self) -> Any:
        """Decode the pixels.

        Raises:
            OSError: The file ends before its picture does, or its compressed rows do.
            PhotoError: `undecodable`, a part of it was lost.
        """
        data = self.fp.getvalue() if self.tile and isinstance(self.fp, io.BytesIO) else b""
        if _lacks_part(data):
            raise lost_part("PNG")
        loaded = super().load()
        if data and self._may_lack_rows(data) and _lacks_rows(data):
            raise OSError("image file is truncated, and marked as ended")
        return loaded

    def _may_lack_rows(self, data: bytes) -> bool:
        if _is_interlaced(data):  # its last row may be of any pass
            return True
        box = self.getbbox(alpha_only=False)  # Pillow leaves 0 where nothing was coded
        return box is None or box[3] < self.height


def _is_interlaced(data: bytes) -> bool:
    return data[28] == 1


def _lacks_part(data: bytes) -> bool:
    # zeros may be codes of a flat area: then the checksum is right, which Pillow does not look at
    return any(
        kind == b"IDAT"
        and data.find(LOST, start, end) >= 0
        and zlib.crc32(data[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big")
        for kind, start, end in _chunks(data)
    )


def _lacks_rows(data: bytes) -> bool:
    packed = b"".join(data[start + 8 : end - 4] for kind, start, end in _chunks(data) if kind == b"IDAT")
    unpacking = zlib.decompressobj(wbits=-zlib.MAX_WBITS)  # without the checksum, which is no matter of the rows
    missing = _stated_bytes(data)
    for start in range(_ZLIB_HEADER_BYTES, len(packed), _BLOCK_BYTES):
        missing -= len(unpacking.decompress(packed[start : start + _BLOCK_BYTES]))
        if missing <= 0:
            return False
    return True


def _stated_bytes(data: bytes) -> int:
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    bits = data[24] * _SAMPLES[data[25]]
    stated = 0
    for left, top, right, down in _ADAM7 if _is_interlaced(data) else _WHOLE:
        columns, rows = -((left - width) // right), -((top - height) // down)
        if columns > 0 and rows > 0:
            stated += rows * (1 + (columns * bits + 7) // 8)  # a row begins with its filter
    return stated


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at, min(end, len(data))
        at = end


def _exif(data: bytes) -> bytes | None:
    """Find a PNG file's EXIF block, which may also stand behind the pixels, without decoding them."""
    return next((data[start + 8 : end - 4] for kind, start, end in _chunks(data) if kind == b"eXIf"), None)


def _profile(data: bytes) -> bytes | None:
    """Find a PNG file's colour profile; None where it has none, or one that is damaged or above 16 MiB."""
    for kind, start, end in _chunks(data):
        if kind == b"iCCP":
            packed = data[start + 8 : end - 4].partition(b"\0")[2][1:]
            unpacking = zlib.decompressobj()
            try:
                profile = unpacking.decompress(packed, _LARGEST_PROFILE_BYTES)
            except zlib.error:
                return None
            return profile if unpacking.eof else None
    return None


def _pixels(data: bytes) -> bytes:
    """Leave out of a PNG file what does not make its pixels: Pillow refuses photos for damaged or large texts."""
    makes_pixels = [
        kind[:1].isupper() or (kind == b"tRNS" and end - start - 12 in _CLEAR_BYTES.get(data[25], ()))
        for kind, start, end in _chunks(data)
    ]
    if all(makes_pixels):
        return data
    kept = (data[start:end] for (_, start, end), makes in zip(_chunks(data), makes_pixels, strict=True) if makes)
    return data[:8] + b"".join(kept)
