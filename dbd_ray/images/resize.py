"""Resizing of photos to a network's input size, the same in training and in inference."""

import cv2
import numpy as np


def resize_photo(photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a photo to exactly `size`, not keeping its aspect ratio.

    Area averaging where it shrinks (no aliasing that would look like sharp texture), linear where it grows. Large
    photos shrink by a whole factor first, which is twice as fast and half a level off on average.

    Args:
        photo: uint8 RGB H×W×3, or one plane H×W.
        size: (height, width), px.

    Returns:
        uint8 of that size, with the photo's channels; the photo itself where it has that size.
    """
    height, width = size
    if photo.shape[:2] == (height, width):
        return photo
    rows, columns = photo.shape[:2]
    enough = min(rows // height, columns // width) // 2
    factor = next((f for f in range(enough, 1, -1) if rows % f == columns % f == 0), 1)
    if factor > 1:
        photo = cv2.resize(photo, (columns // factor, rows // factor), interpolation=cv2.INTER_AREA)
    shrinks = photo.shape[0] * photo.shape[1] > height * width
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def within(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Shrink (height, width) so that the longer one is at most `long_side`, px; never enlarge."""
    scale = min(1.0, long_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
