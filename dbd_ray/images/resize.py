"""The one way in which photos are brought to a network's input size, in training and in inference."""

import cv2
import numpy as np


def resize_photo(photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a photo to exactly `size`, not keeping its aspect ratio.

    Area averaging where it shrinks (no aliasing that would look like sharp texture), linear where it grows.

    Args:
        photo: uint8 RGB H×W×3.
        size: (height, width).

    Returns:
        uint8 RGB height×width×3.
    """
    height, width = size
    if photo.shape[:2] == (height, width):
        return photo
    shrinks = photo.shape[0] * photo.shape[1] > height * width
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
