"""Camera raw files: their embedded preview is decoded instead of the sensor's data."""

import io

from PIL import Image

from dbd_ray.errors import PhotoError
from dbd_ray.images.jpeg import JpegFile

_ORIENTATION_TAG = 0x0112
_ORIENTATION_OF_FLIP = {3: 3, 5: 8, 6: 6}  # LibRaw's flip codes as EXIF orientations
_SMALLEST_PREVIEW_PX = 640


def open_raw_preview(data: bytes) -> Image.Image:
    """Open the largest preview inside a camera raw file, with its EXIF orientation set; pixels are not decoded yet.

    Args:
        data: The whole raw file.

    Raises:
        PhotoError: `needs_extra_raw` where rawpy is not installed; `undecodable` when the file holds no preview that
            is large enough to judge focus on.
    """
    try:
        import rawpy
    except ImportError:
        raise PhotoError(
            "needs_extra_raw", "camera raw files need an extra package: pip install rawpy (the extra dbd-ray[raw])"
        ) from None
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            thumbnail = raw.extract_thumb()
            orientation = _ORIENTATION_OF_FLIP.get(raw.sizes.flip, 1)
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        raise PhotoError(
            "undecodable", "this raw file holds no preview that can be read: export it as JPEG or TIFF"
        ) from None
    except rawpy.LibRawError as error:
        # LibRaw's words are bytes
        cause = error.args[0].decode(errors="replace") if error.args and isinstance(error.args[0], bytes) else error
        raise PhotoError("undecodable", f"this raw file cannot be read ({cause}): export it as JPEG or TIFF") from None
    if isinstance(thumbnail.data, bytes):
        preview: Image.Image = JpegFile(io.BytesIO(thumbnail.data))
    else:
        preview = Image.fromarray(thumbnail.data)
    if max(preview.size) < _SMALLEST_PREVIEW_PX:
        raise PhotoError(
            "undecodable",
            f"this raw file's preview has only {preview.width}x{preview.height} pixels, too few to judge focus on: "
            "export it as JPEG or TIFF",
        )
    # previews often lack the tag although the raw file around them knows how the camera was held
    preview.getexif().setdefault(_ORIENTATION_TAG, orientation)
    return preview
