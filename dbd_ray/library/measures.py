"""Measures of a photo beside its focus map: the sharpness of its sharp part, and a hash that near-duplicates share."""

import cv2
import numpy as np

from dbd_ray.images.resize import within

SHARPNESS_LONG_SIDE_PX = 1024  # at which all photos are compared, whatever their cameras' pixels


def sharpness(photo: np.ndarray, focus: np.ndarray) -> float:
    """Measure how sharp the sharp part of a photo is: the mean absolute Laplacian of its gray levels.

    Args:
        photo: uint8 RGB H×W×3; larger ones are shrunk to 1024 px along the longer side first.
        focus: float or uint8 H×W of the same size, in focus from half of its range on.

    Returns:
        At least 0, in gray levels of 255; 0 where nothing is in focus.
    """
    if max(photo.shape[:2]) > SHARPNESS_LONG_SIDE_PX:
        size = within((photo.shape[0], photo.shape[1]), SHARPNESS_LONG_SIDE_PX)[::-1]
        photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        focus = cv2.resize(focus, size, interpolation=cv2.INTER_AREA)
    half = 128 if focus.dtype == np.uint8 else 0.5
    inside = focus >= half
    if not inside.any():
        return 0.0
    detail = np.abs(cv2.Laplacian(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.CV_16S))
    return float(detail[inside].mean())


def perceptual_hash(photo: np.ndarray) -> str:
    """Hash the look of a photo, by OpenCV's pHash: the signs of the lowest frequencies of its gray levels.

    Args:
        photo: uint8 RGB H×W×3.

    Returns:
        64 bits as 16 hexadecimal digits; near-duplicates differ in few of them.
    """
    small = cv2.resize(photo, (64, 64), interpolation=cv2.INTER_AREA)  # the same whatever size the photo was decoded at
    return bytes(cv2.img_hash.pHash(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[0]).hex()
