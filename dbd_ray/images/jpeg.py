"""JPEG files that were cut: read where every block is there, whether or not their end is marked."""

import io
import re
import struct
from typing import Any

from PIL import Image, ImageChops, JpegImagePlugin

from dbd_ray.images.jpeg_scans import lacks_scans
from dbd_ray.images.jpeg_zeros import ZerosInScan, zeros_in_scans
from dbd_ray.images.lost import lost_part

_END = b"\xff\xd9"
# no run of one repeats another at any offset: as coded blocks they give other pixels
_OTHER_CODES = (b"\x5a" * 4096, b"\x33" * 4096, b"\xd8" * 4096, b"\x86" * 4096)
_SPARE_BYTES = 16

_SHORT_ADOBE = re.compile(rb"\xff\xee(..)Adobe", re.DOTALL)
_ADOBE_BYTES = 14  # of the segment behind its marker
_HEADERS_BYTES = 1 << 16
_NEAR = 8  # levels: colours of the last blocks that are there run into those that are not


class JpegFile(JpegImagePlugin.JpegImageFile):
    """A JPEG file as Pillow opens it, which may lack its end marker if its pixels do not depend on what follows.

    One that was cut and marked as ended is refused, unless it was cut in the last pass of a progressive file, which
    only refines the pixels.
    """

    def load(self) -> Any:
        """Decode the pixels.

        Raises:
            OSError: The file ends before its picture does.
            PhotoError: `undecodable`, a part of it was lost.
        """
        tile = list(self.tile)
        data = self.fp.getvalue() if tile and isinstance(self.fp, io.BytesIO) else b""
        for scan in zeros_in_scans(data):
            if not (scan.may_be_flat and self._is_exact(data, scan, tile)):
                raise lost_part("JPEG")
        if lacks_scans(data):
            raise OSError("image file is truncated, and marked as ended")
        # whether the last scan of a progressive picture is whole cannot be told from its pixels
        if not data or self.info.get("progressive"):
            return super().load()
        try:
            loaded = super().load()
        except OSError:
            whole = self._if_complete(data, tile)
            if whole is None:
                raise
            self.im, self.tile = whole.im, []
            return super().load()
        if self._ends_in_gray() and self._if_complete(data[: data.rfind(_END)], tile) is None:
            raise OSError("image file is truncated, and marked as ended")
        return loaded

    def _ends_in_gray(self) -> bool:
        # the decoder's value for blocks that are not there
        corner = self.getpixel((self.width - 1, self.height - 1))
        levels = corner if isinstance(corner, tuple) else (corner,)
        return all(abs(level - 128) <= _NEAR for level in levels)  # type: ignore[operator]

    def _if_complete(self, data: bytes, tile: list[Any]) -> JpegImagePlugin.JpegImageFile | None:
        coded = data.rstrip(_END[:1])  # half a mark at the end would be another mark with what follows it
        first = self._decoded(coded + _END, tile)
        others = (self._decoded(coded + codes + _END, tile) for codes in _OTHER_CODES[:2])
        return None if any(_differ(first, other) for other in others) else first

    def _is_exact(self, data: bytes, scan: ZerosInScan, tile: list[Any]) -> bool:
        """Tell whether a scan's coded data are as long as its blocks need, which they are not if some were lost."""
        coded, rest = data[: scan.stop].rstrip(_END[:1]), data[scan.stop :] or _END

        def depends_on_codes_after(kept: bytes) -> bool:
            first, *others = _OTHER_CODES
            one = self._decoded(kept + first + rest, tile)
            return any(_differ(one, self._decoded(kept + other + rest, tile)) for other in others)

        # blocks that were lost and are read as flat are more than there were: the last bytes are spare
        needs_all = depends_on_codes_after(coded[:-_SPARE_BYTES].rstrip(_END[:1])) or self._is_of_one_colour(data, tile)
        return needs_all and not depends_on_codes_after(coded)

    def _is_of_one_colour(self, data: bytes, tile: list[Any]) -> bool:
        extrema = self._decoded(data if data.endswith(_END) else data + _END, tile).getextrema()
        return all(low == high for low, high in (extrema if isinstance(extrema[0], tuple) else [extrema]))

    def _decoded(self, data: bytes, tile: list[Any]) -> JpegImagePlugin.JpegImageFile:
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
        image._size, image._mode = self._size, self._mode
        image.tile, image.decoderconfig = list(tile), self.decoderconfig
        image.load()
        return image


def _differ(one: Image.Image, other: Image.Image) -> bool:
    return ImageChops.difference(one, other).getbbox() is not None


def without_short_adobe(data: bytes) -> bytes:
    """Leave out Adobe segments that are too short to say anything, for which Pillow refuses the file."""
    for found in reversed(list(_SHORT_ADOBE.finditer(data, 0, _HEADERS_BYTES))):
        (length,) = struct.unpack(">H", found[1])
        if length < _ADOBE_BYTES:
            data = data[: found.start()] + data[found.start() + 2 + length :]
    return data
