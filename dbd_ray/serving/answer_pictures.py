"""The pictures of an answer: focus map, overlay, mask and depth as PNG files, the photo itself as JPEG."""

import cv2
import numpy as np

from dbd_ray.detection.focus_map import FocusMap
from dbd_ray.images.encode import encode_depth, encode_mask, encode_photo
from dbd_ray.images.masks import cut_mask
from dbd_ray.images.overlay import overlay
from dbd_ray.names import Picture
from dbd_ray.serving.options import BatchOptions
from dbd_ray.serving.refusals import Refusal

_PREVIEW_QUALITY = 85  # of 2048 px some 0.5 MB


def make_picture(name: Picture, photo: np.ndarray, found: FocusMap, options: BatchOptions) -> bytes:
    """Draw one picture of an answer.

    Args:
        name: Which picture to draw.
        photo: uint8 RGB H×W×3.
        found: The focus map of this photo, at its size.
        options: Options of the request.

    Returns:
        The bytes of a PNG file.

    Raises:
        Refusal: Depth is wanted, and the model gives none.
    """
    if name == "overlay":
        return encode_photo(_fitted(overlay(photo, found.focus), options.max_side), format="png")
    if name == "depth":
        if found.depth is None:
            raise Refusal("no_depth", "this server's model gives no depth: leave depth out")
        return encode_depth(_fitted(found.depth, options.max_side))
    if name == "mask":
        sharp = cut_mask(found.focus, threshold=options.threshold, margin=options.margin)
        return encode_mask(_fitted(sharp.astype(np.float32), options.max_side) >= 0.5, polarity=options.polarity)
    return encode_mask(_fitted(found.focus, options.max_side), polarity=options.polarity)


def make_preview(photo: np.ndarray, long_side: int) -> bytes:
    """Draw the photo itself for whoever cannot read its file, such as a browser that is given HEIC or camera raw.

    Args:
        photo: uint8 RGB H×W×3, upright.
        long_side: Most pixels along the longer side.

    Returns:
        The bytes of a JPEG file.
    """
    return encode_photo(_fitted(photo, long_side), quality=_PREVIEW_QUALITY)


def _fitted(picture: np.ndarray, max_side: int | None) -> np.ndarray:
    height, width = picture.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return picture
    scale = max_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.clip(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), 0, 255 if picture.dtype == np.uint8 else 1)
