"""JPEG files without their end marker: read where every block is there."""

import io
from typing import Any

from PIL import ImageChops, JpegImagePlugin

_END = b"\xff\xd9"
# no run of the first repeats the second at any offset: as coded blocks they give other pixels
_FILLINGS = (b"", b"\x5a" * 4096, b"\x33" * 4096)


class JpegFile(JpegImagePlugin.JpegImageFile):
    """A JPEG file as Pillow opens it, which may lack its end marker if its pixels do not depend on what follows."""

    def load(self) -> Any:
        """Decode the pixels.

        Raises:
            OSError: The file ends before its picture does.
        """
        tile = list(self.tile)
        try:
            return super().load()
        except OSError:
            # whether a progressive picture lacks its last scans cannot be told from its pixels
            if not tile or not isinstance(self.fp, io.BytesIO) or self.info.get("progressive"):
                raise
            # half a mark at the end would be another mark with what follows it
            coded = self.fp.getvalue().rstrip(_END[:1])
            first, *others = (self._filled(coded + filling + _END, tile) for filling in _FILLINGS)
            if any(ImageChops.difference(first, other).getbbox() for other in others):
                raise
            self.im, self.tile = first.im, []
            return super().load()

    def _filled(self, data: bytes, tile: list[Any]) -> JpegImagePlugin.JpegImageFile:
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
        image._size, image._mode = self._size, self._mode
        image.tile, image.decoderconfig = list(tile), self.decoderconfig
        image.load()
        return image
