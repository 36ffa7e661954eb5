"""Safe decoding of photos: limits on bytes and pixels are checked before memory is taken."""

import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import (
    AvifImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageChops,
    ImageFile,
    JpegImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from dbd_ray.errors import PhotoError
from dbd_ray.images.bmp import open_bmp, with_true_alpha
from dbd_ray.images.colour import to_srgb
from dbd_ray.images.containers import Container, ends_early, identify
from dbd_ray.images.extra import needs_extra
from dbd_ray.images.heif import heif_lacks_part
from dbd_ray.images.jpeg import JpegFile, without_short_adobe
from dbd_ray.images.jxl import jxl_size, open_jxl
from dbd_ray.images.lost import lost_part
from dbd_ray.images.png import PngFile
from dbd_ray.images.raw import open_raw
from dbd_ray.images.resize import resize_photo
from dbd_ray.images.tiff import TiffFile
from dbd_ray.images.webp import webp_lacks_part, webp_size
from dbd_ray.names import MAX_PIXELS

MAX_BYTES = 256 * 2**20

_ORIENTATION_TAG = 0x0112
_BYTES = re.compile(r"""\bb(?P<quote>['"])(?P<text>.*?)(?P=quote)""")  # in messages of decoders: Python's b'IDAT'
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


# opened by their own classes: Image.open would also try formats that nobody asked for (one of them starts
# Ghostscript), and its pixel limit is a module-wide setting that only warns up to a point
_OPENERS: dict[Container, type[ImageFile.ImageFile]] = {
    "webp": WebPImagePlugin.WebPImageFile,
    "tiff": TiffFile,
    "gif": GifImagePlugin.GifImageFile,
}


def decode_photo(
    data: bytes,
    *,
    target_size: tuple[int, int] | None = None,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Decode a photo as it is displayed: upright, in sRGB, over white where it is transparent.

    Args:
        data: The encoded file: JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF; HEIC, JPEG XL and camera raw with their extras. A
            file with several frames gives its first one, a raw file its embedded preview, or where that is too small
            its sensor's data at half size.
        target_size: (height, width) in pixels to resize to exactly, or None for the native size. JPEGs much larger
            than this are decoded at a reduced scale, which is several times faster.
        max_bytes: Largest file size that is accepted, bytes.
        max_pixels: Largest height x width that is decoded.

    Returns:
        uint8 RGB, HxWx3.

    Raises:
        PhotoError: The bytes are no usable photo; `reason` is a stable code, see `errors.PhotoReason`.
    """
    if target_size is not None and min(target_size) < 1:
        raise ValueError(f"target_size must be two positive numbers (height, width), got {target_size}")
    with _photo_errors(data) as container:
        image = _open(data, container, max_bytes, max_pixels)
        _check_whole(data, container)
        orientation = _orientation(image)
        if target_size:
            _draft(image, target_size[::-1] if orientation >= 5 else target_size)
        image.load()
        image = to_srgb(with_true_alpha(_with_true_inks(image)))
        photo = np.array(image.transpose(_TRANSPOSES[orientation]) if orientation in _TRANSPOSES else image)
    return resize_photo(photo, target_size) if target_size else photo


def decode_as_stored(data: bytes) -> Image.Image:
    """Decode a picture upright without converting its values, for masks and depth maps.

    Args:
        data: The encoded file; the limits are `decode_photo`'s defaults.

    Returns:
        A loaded image in the file's own mode.

    Raises:
        PhotoError: As `decode_photo`.
    """
    with _photo_errors(data) as container:
        image = _open(data, container, MAX_BYTES, MAX_PIXELS)
        _check_whole(data, container)
        orientation = _orientation(image)
        image.load()
        return image.transpose(_TRANSPOSES[orientation]) if orientation in _TRANSPOSES else image


def photo_size(data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Read the (height, width) that `decode_photo` would return, from the header alone.

    Raises:
        PhotoError: As `decode_photo`, except for damage behind the header.
    """
    with _photo_errors(data) as container:
        image = _open(data, container, max_bytes, max_pixels)
        return (image.width, image.height) if _orientation(image) >= 5 else (image.height, image.width)


def photo_exif(data: bytes) -> dict[int, Any]:
    """Read a photo's EXIF from its header alone.

    Returns:
        Values by tag, those of the camera's settings included; empty where there is no EXIF, or it is damaged.

    Raises:
        PhotoError: As `photo_size`.
    """
    with _photo_errors(data) as container:
        image = _open(data, container, MAX_BYTES, sys.maxsize)
        try:
            exif = Image.Image.getexif(image)
            return dict(exif) | dict(exif.get_ifd(ExifTags.IFD.Exif))
        except Exception:  # noqa: BLE001 - damaged EXIF raises almost anything and says nothing about the photo
            return {}


@contextmanager
def _photo_errors(data: bytes) -> Iterator[Container]:
    if not data:
        raise PhotoError("empty_file", "the file is empty (0 bytes): copy it again from where it came")
    container = identify(data)
    if container is None:
        raise PhotoError(
            "not_an_image",
            f"these {len(data)} bytes are no photo in a format that dbd_ray reads "
            "(JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF, HEIC, JPEG XL, camera raw), whatever the file is called",
        )
    try:
        yield container
    except (PhotoError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's WebP decoder keeps a check of its own, above the largest size that cameras have
        raise PhotoError("too_many_pixels", f"{error}; raise PIL.Image.MAX_IMAGE_PIXELS to allow it") from None
    except Exception as error:  # on damaged bytes the decoders raise almost anything
        if ends_early(data, container) or "truncated" in str(error).lower():
            message = f"this {container.upper()} file ends before its picture does: copy it again from where it came"
            raise PhotoError("truncated", message) from error
        if not str(error) or str(error).startswith("decoder error"):
            message = f"the pixels of this {container.upper()} file are damaged: copy it again from where it came"
        else:
            reason = _BYTES.sub(r"\g<text>", str(error))
            message = f"this {container.upper()} file cannot be decoded ({reason}): save it again in another program"
        raise PhotoError("undecodable", message) from error


def _open(data: bytes, container: Container, max_bytes: int, max_pixels: int) -> Image.Image:
    if len(data) > max_bytes:
        raise PhotoError(
            "too_many_bytes",
            f"the file has {len(data)} bytes, the limit is {max_bytes}: save it as JPEG "
            "(in Python, decode_photo takes a larger max_bytes)",
        )
    if container == "tiff" and ends_early(data, container):
        raise EOFError("truncated directory")  # what is left of its tags would tell of another picture
    if container == "webp":
        _check_pixels(webp_size(data) or (0, 0), max_pixels)
    if container == "jxl":
        _check_pixels(jxl_size(data) or (0, 0), max_pixels)
    image = _open_container(data, container)
    _check_pixels((image.height, image.width), max_pixels)
    return image


def _open_container(data: bytes, container: Container) -> Image.Image:
    match container:
        case "raw":
            return open_raw(data)
        case "jpeg":
            return JpegFile(io.BytesIO(without_short_adobe(data)))
        case "png":
            return PngFile(data)
        case "heif":
            return _open_heif(data)
        case "jxl":
            return open_jxl(data)
        case "avif":
            return AvifImagePlugin.AvifImageFile(io.BytesIO(data)) if AvifImagePlugin.SUPPORTED else _open_heif(data)
        case "bmp":
            return open_bmp(data)
        case _:
            return _OPENERS[container](io.BytesIO(data))


def _check_whole(data: bytes, container: Container) -> None:
    # the files of the other formats do it themselves, while they load
    heif = container in ("heif", "avif")
    if (heif and heif_lacks_part(data)) or (container == "webp" and webp_lacks_part(data)):
        raise lost_part({"heif": "HEIC", "avif": "AVIF", "webp": "WebP"}[container])


def _open_heif(data: bytes) -> Image.Image:
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise needs_extra(error, "HEIC and AVIF photos", "pillow-heif", "heif", "needs_extra_heif") from None
    return HeifImageFile(io.BytesIO(data))


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    height, width = size
    if height * width > max_pixels:
        raise PhotoError(
            "too_many_pixels",
            f"the photo has {width}x{height} pixels, the limit is {max_pixels}: make it smaller, or raise max_pixels "
            "(--max-pixels of predict, --set max_pixels=N of others)",
        )


def _orientation(image: Image.Image) -> int:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return 1  # Pillow turns TIFF files itself while it loads them
    try:
        # the base class's method: the one of PNG files decodes all pixels on the way, and takes their damage for EXIF's
        orientation = int(Image.Image.getexif(image).get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF raises almost anything and says nothing about the pixels
        return 1
    return orientation if orientation in _TRANSPOSES else 1


def _draft(image: Image.Image, size: tuple[int, int]) -> None:
    # JPEGs can be decoded at 1/2, 1/4 or 1/8 scale. Stopping at twice the size costs a tenth more time than going
    # as low as possible, and leaves a third of the difference to a full decoding
    height, width = size
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        image.draft(None, (2 * width, 2 * height))


def _with_true_inks(image: Image.Image) -> Image.Image:
    if image.mode == "CMYK" and isinstance(image, JpegImagePlugin.JpegImageFile) and "adobe" not in image.info:
        return ImageChops.invert(image)  # Pillow takes all CMYK JPEGs for Adobe's, whose inks are inverted
    return image
