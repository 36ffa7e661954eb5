"""TIFF files of every arrangement of samples: read rightly, or refused by what they hold."""

import io
from typing import Any

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin

from dbd_ray.errors import PhotoError
from dbd_ray.images.remarks import silence_libtiff
from dbd_ray.images.tiff_parts import NOT_COMPRESSED, SEPARATE, check_placed, check_whole

_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _EXTRA, _FORMAT = 258, 259, 262, 277, 284, 338, 339
_WIDTH, _HEIGHT, _ORIENTATION, _COLORMAP, _ICC_PROFILE = 256, 257, 274, 320, 34675
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_KINDS = {_UNSIGNED: "whole", _SIGNED: "signed", _FLOAT: "floating-point"}
_WHITE_IS_ZERO, _GRAY, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_LZW = 5
_BIG_BIG_ENDIAN = b"MM\0+"
_ASSOCIATED, _UNASSOCIATED = 1, 2  # alpha: colours were multiplied by it, or not

# OpenCV reads these kinds of numbers, (format, bits), where they lie side by side: Pillow has no colours of so many
# bits, and makes noise of compressed grays in the other byte order
_GRAYS = {(_SIGNED, 16), (_UNSIGNED, 32), (_SIGNED, 32), (_FLOAT, 32), (_FLOAT, 64)}
_COLOURS = {(_UNSIGNED, 32), (_FLOAT, 32), (_FLOAT, 64)}


class TiffFile(TiffImagePlugin.TiffImageFile):
    """A TIFF file as Pillow opens it, decoded by whichever of Pillow, libtiff and OpenCV has its pixels right.

    Raises:
        PhotoError: `undecodable`, with what the file holds, where none of them has.
    """

    _by_opencv = False

    def _open(self) -> None:
        silence_libtiff()
        if self._data().startswith(_BIG_BIG_ENDIAN):
            raise PhotoError(
                "undecodable",
                "this is a BigTIFF file whose numbers begin with their highest byte, which is not read: "
                "save it as an ordinary TIFF file",
            )
        super()._open()

    def _setup(self) -> None:
        tags = self.tag_v2
        check_placed(tags)
        photometric, samples = tags.get(_PHOTOMETRIC, 0), tags.get(_SAMPLES, 1)
        numbers = (tags.get(_FORMAT, (_UNSIGNED,))[0], tags.get(_BITS, (1,))[0])
        alike = len(set(tags.get(_FORMAT, ()))) <= 1 and len(set(tags.get(_BITS, ()))) <= 1
        separate = tags.get(_PLANAR, 1) == SEPARATE and samples > 1
        if alike and not separate and self._is_wide(photometric, samples, numbers):
            self._prepare_opencv(photometric, samples)
            return
        known = numbers[0] == _UNSIGNED and alike and numbers[1] <= 16
        if not known or (separate and photometric in (_WHITE_IS_ZERO, _GRAY)):
            raise self._refusal()
        palette = tags.get(_COLORMAP, ())
        if photometric == _PALETTE and max(palette, default=0) < 256:  # some programs write levels of 8 bits, not of 16
            tags[_COLORMAP] = tuple(level * 257 for level in palette)
        compression = tags.get(_COMPRESSION, NOT_COMPRESSED)
        by_libtiff = compression == NOT_COMPRESSED and (separate or photometric == _YCBCR)
        try:
            if by_libtiff:
                # Pillow's own reader takes planes of 16 bits for planes of 8, and subsampled YCbCr for whole; any
                # other compression makes it ask libtiff, which looks at the file itself
                tags[_COMPRESSION] = _LZW
            super()._setup()
        except SyntaxError as error:
            raise self._refusal() from error
        finally:
            if by_libtiff:
                tags[_COMPRESSION] = NOT_COMPRESSED

    def load_prepare(self) -> None:
        """Take the memory here, which keeps Pillow from applying its own limit after ours has let the photo pass."""
        if self._im is None:
            self.im = Image.core.new(self.mode, self._tile_size)
        super().load_prepare()

    def load(self) -> Any:
        """Decode the pixels, upright."""
        if self._im is None:
            check_whole(self.tag_v2, self._data())
            if self._by_opencv:
                decoded = Image.fromarray(self._decode())
                self.im, self._mode = decoded.im, decoded.mode
        return super().load()

    @staticmethod
    def _is_wide(photometric: int, samples: int, numbers: tuple[int, int]) -> bool:
        if photometric == _RGB:
            return samples in (3, 4) and numbers in _COLOURS
        if photometric == _WHITE_IS_ZERO:
            return samples == 1 and numbers == (_UNSIGNED, 16)  # which Pillow reads in one of both byte orders
        return photometric == _GRAY and samples == 1 and numbers in _GRAYS

    def _prepare_opencv(self, photometric: int, samples: int) -> None:
        width, height = self.tag_v2[_WIDTH], self.tag_v2[_HEIGHT]
        self._by_opencv, self.use_load_libtiff = True, False
        self._size = (height, width) if self.tag_v2.get(_ORIENTATION) in (5, 6, 7, 8) else (width, height)
        extra = self.tag_v2.get(_EXTRA, ())
        self._has_alpha = samples == 4 and (not extra or extra[0] in (_ASSOCIATED, _UNASSOCIATED))
        self._mode = ("RGBA" if self._has_alpha else "RGB") if photometric == _RGB else "F"
        self.tile = []
        if _ICC_PROFILE in self.tag_v2:
            self.info["icc_profile"] = self.tag_v2[_ICC_PROFILE]

    def _decode(self) -> np.ndarray:
        data = np.frombuffer(self._data(), np.uint8)
        values = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)  # turned upright, whatever the flags say
        if values is None or values.shape[:2] != self._size[::-1]:
            raise PhotoError(
                "undecodable",
                f"the pixels of this TIFF file ({self._held()}) are damaged or missing: copy it again",
            )
        if values.dtype.kind == "f" and not np.isfinite(values).any():
            raise PhotoError("undecodable", f"none of this TIFF file's {self._held()} is finite: export it again")
        if values.ndim == 2:
            return _grays(np.invert(values) if self.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else values)
        return self._colours(values)

    def _colours(self, values: np.ndarray) -> np.ndarray:
        white = np.iinfo(values.dtype).max if values.dtype.kind == "u" else 1
        if np.count_nonzero(values > white) > values.size / 2:
            raise PhotoError(
                "undecodable",
                f"most of this TIFF file's {self._held()} are above 1, which is white: "
                "export it with 8 or 16 bits per colour",
            )
        levels = np.clip(np.nan_to_num(values.astype(np.float32) / np.float32(white), nan=0), 0, 1)
        colours = levels[..., 2::-1]
        if not self._has_alpha:
            return (colours * 255 + 0.5).astype(np.uint8)
        alpha = levels[..., 3:]
        if self.tag_v2.get(_EXTRA, ())[:1] == (_ASSOCIATED,):
            colours = np.clip(colours / np.maximum(alpha, np.float32(1e-6)), 0, 1)
        return (np.concatenate([colours, alpha], axis=2) * 255 + 0.5).astype(np.uint8)

    def _data(self) -> bytes:
        if not isinstance(self.fp, io.BytesIO):
            raise TypeError("TIFF files are opened from memory, as io.BytesIO")
        return self.fp.getvalue()

    def _held(self) -> str:
        tags = self.tag_v2
        bits = tags.get(_BITS, (1,))
        number = _KINDS.get(tags.get(_FORMAT, (_UNSIGNED,))[0], "unusual")
        held = f"{tags.get(_SAMPLES, 1)} x {'/'.join(map(str, dict.fromkeys(bits)))}-bit {number} numbers per pixel"
        return held + (" in separate planes" if tags.get(_PLANAR, 1) == SEPARATE else "")

    def _refusal(self) -> PhotoError:
        return PhotoError(
            "undecodable",
            f"this TIFF file holds {self._held()} (colour model {self.tag_v2.get(_PHOTOMETRIC, 0)}), which are not "
            "read: export it as RGB or gray with 8 or 16 bits per colour",
        )


def _grays(values: np.ndarray) -> np.ndarray:
    """Bring grays to numbers whose range tells what white is, see `colour.to_eight_bits`."""
    match values.dtype.name:
        case "int16":
            return values.astype(np.int32) * 65535 // 32767
        case "uint32" if values.max() >= 2**31:
            return values.astype(np.float32) / np.float32(2**32 - 1)
        case "float32" | "float64":
            return values.astype(np.float32)
        case _:
            return values.astype(np.int32)
