"""Masks for reconstruction programs: white where a photo is sharp, in the pixels as the photo's file stores them."""

import cv2
import numpy as np

from dbd_ray.images.masks import as_stored, cut_mask


def reconstruction_mask(
    focus: np.ndarray, size: tuple[int, int], *, threshold: float, margin: int, orientation: int
) -> np.ndarray:
    """Make a mask at the photo's native size; such programs read pixels as stored, whatever EXIF says of turning.

    Args:
        focus: uint8 h×w, 255 = in focus, upright, of any size in the photo's aspect ratio.
        size: (height, width) of the upright photo, px.
        threshold: From this focus on, in (0,1), a pixel is sharp.
        margin: So many pixels are taken from the sharp side along its border, but not along the photo's frame.
        orientation: EXIF orientation of the file, 1 to 8.

    Returns:
        bool H×W in the stored orientation, True = sharp.
    """
    height, width = size
    if focus.shape != size:
        focus = cv2.resize(focus, (width, height), interpolation=cv2.INTER_LINEAR)
    return as_stored(cut_mask(focus, threshold=threshold * 255, margin=-margin), orientation)
