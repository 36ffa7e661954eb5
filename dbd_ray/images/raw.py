"""Camera raw files: their embedded preview is decoded, or the sensor's data where no preview is large enough."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dbd_ray.errors import PhotoError
from dbd_ray.images.extra import needs_extra
from dbd_ray.images.jpeg import JpegFile
from dbd_ray.images.lost import lost_part
from dbd_ray.images.remarks import libraw_heard

if TYPE_CHECKING:
    from rawpy import RawPy

_ORIENTATION_TAG, _SOFTWARE_TAG, _TIME_TAG = 0x0112, 0x0131, 0x0132
_EXIF_IFD, _TAKEN_TAG = 0x8769, 0x9003
_ORIENTATION_OF_FLIP = {3: 3, 5: 8, 6: 6}  # LibRaw's flip codes as EXIF orientations
_SMALLEST_PX = 640  # longer side that is enough to judge focus on
_TIFF_HEADERS = (b"II*\0", b"MM\0*")


class DevelopedRaw(Image.Image):
    """The sensor's data, developed at half its size as soon as the pixels are asked for.

    Half size makes each pixel of one cell of the colour mosaic: nothing is interpolated, which would blur or sharpen.

    Args:
        data: The whole raw file.
        size: (width, height) of the developed picture, px.
    """

    def __init__(self, data: bytes, size: tuple[int, int]) -> None:
        super().__init__()
        self._mode, self._size = "RGB", size
        self._data = data

    def load(self) -> Any:
        """Develop the pixels.

        Raises:
            PhotoError: `undecodable`, a part of the data was lost, or pixels of this sensor are no squares in rows.
        """
        if self._data:
            data, self._data = self._data, b""
            self.im = Image.fromarray(_develop(data, self.size)).im
        return super().load()


def open_raw(data: bytes) -> Image.Image:
    """Open the picture of a camera raw file, with its EXIF orientation set; pixels are not decoded yet.

    Args:
        data: The whole raw file.

    Returns:
        The largest preview inside of it, or where that is too small to judge focus on, a `DevelopedRaw`.

    Raises:
        PhotoError: `needs_extra_raw` where rawpy is not installed, or does not load; `undecodable` when the file
            cannot be read, or neither preview nor sensor are large enough.
    """
    try:
        import rawpy
    except ImportError as error:
        raise needs_extra(error, "camera raw files", "rawpy", "raw", "needs_extra_raw") from None
    try:
        with libraw_heard(), rawpy.imread(io.BytesIO(data)) as raw:
            image = _preview(raw)
            orientation = _ORIENTATION_OF_FLIP.get(raw.sizes.flip, 1)
            developed = _half_size(raw)
    except rawpy.LibRawError as error:
        raise _unreadable(error) from None
    if image is None or max(image.size) < _SMALLEST_PX:
        if max(developed) < _SMALLEST_PX:
            small = "no preview" if image is None else f"a preview of {image.width}x{image.height} pixels"
            raise PhotoError(
                "undecodable",
                f"this raw file holds {small} and half a sensor is {developed[0]}x{developed[1]}, too few to judge "
                "focus on: export it as JPEG or TIFF",
            )
        image = DevelopedRaw(data, developed)
    # previews often lack the tag although the raw file around them knows how the camera was held
    exif = image.getexif()
    orientation = exif.get(_ORIENTATION_TAG, orientation)
    _take_facts(exif, data)
    exif[_ORIENTATION_TAG] = orientation
    return image


def _take_facts(exif: Image.Exif, data: bytes) -> None:
    """Let a preview have the EXIF of the raw file around it, where that is like a TIFF."""
    if data.startswith(_TIFF_HEADERS):
        try:
            exif.load(data)
        except Exception:  # noqa: BLE001 - damaged EXIF raises almost anything and says nothing about the photo
            exif.clear()
    elif str(exif.get(_SOFTWARE_TAG, "")).startswith("dcraw"):
        # LibRaw makes EXIF for previews without: in this machine's time zone, and 1970 where there is no time
        exif.pop(_TIME_TAG, None)
        exif.get_ifd(_EXIF_IFD).pop(_TAKEN_TAG, None)


def _preview(raw: "RawPy") -> Image.Image | None:
    import rawpy

    try:
        thumbnail = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None
    if isinstance(thumbnail.data, bytes):
        return JpegFile(io.BytesIO(thumbnail.data))
    return Image.fromarray(thumbnail.data)


def _half_size(raw: "RawPy") -> tuple[int, int]:
    width, height = raw.sizes.iwidth, raw.sizes.iheight
    # without a mosaic, each pixel has its three colours already, or none
    return (width, height) if raw.raw_pattern is None or raw.num_colors == 1 else ((width + 1) // 2, (height + 1) // 2)


def _develop(data: bytes, size: tuple[int, int]) -> np.ndarray:
    import rawpy

    try:
        with libraw_heard() as remarks, rawpy.imread(io.BytesIO(data)) as raw:
            sensor = raw.raw_image_visible
            # rows of zeros, where each sensor has noise: LibRaw fills what is not there, and says nothing
            if not sensor.any(axis=tuple(range(1, sensor.ndim))).all():
                raise lost_part("raw")
            photo: np.ndarray = raw.postprocess(half_size=True, use_camera_wb=True, user_flip=0)
    except rawpy.LibRawError as error:
        raise _unreadable(error) from None
    if remarks:  # it has filled what it could not read
        raise _unreadable(remarks[0])
    if photo.shape[2:] == (1,):
        photo = np.repeat(photo, 3, axis=2)
    if photo.shape != (size[1], size[0], 3):
        raise PhotoError("undecodable", "this raw file's pixels are no squares in rows: export it as JPEG or TIFF")
    return photo


def _unreadable(error: Exception | str) -> PhotoError:
    # LibRaw's words are bytes
    words = error if isinstance(error, str) else (error.args or [""])[0]
    cause = words.decode(errors="replace") if isinstance(words, bytes) else error
    return PhotoError("undecodable", f"this raw file cannot be read ({cause}): export it as JPEG or TIFF")
