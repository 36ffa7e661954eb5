"""BMP files, where Pillow takes their pixels or their transparency for something else."""

import io
import struct

from PIL import BmpImagePlugin, Image

_OFFSET_AT = 10  # of the pixels


def open_bmp(data: bytes) -> Image.Image:
    """Open a BMP file as Pillow does, with runs that are padded from where the pixels begin.

    Args:
        data: The whole file.
    """
    (offset,) = struct.unpack_from("<I", data.ljust(_OFFSET_AT + 4, b"\0"), _OFFSET_AT)
    if offset % 2 and offset <= len(data):  # Pillow pads from the beginning of the file
        data = data[:_OFFSET_AT] + struct.pack("<I", offset + 1) + data[_OFFSET_AT + 4 : offset] + b"\0" + data[offset:]
    return BmpImagePlugin.BmpImageFile(io.BytesIO(data))


def with_true_alpha(image: Image.Image) -> Image.Image:
    """Leave out a BMP file's alpha where all of it is 0: its program left these bits empty."""
    if isinstance(image, BmpImagePlugin.BmpImageFile) and image.mode == "RGBA" and not image.getchannel("A").getbbox():
        return image.convert("RGB")
    return image
