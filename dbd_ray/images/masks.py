"""Hard masks from focus maps: cut at a threshold, grown or shrunk, and turned to the pixels as a file stores them."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

_ORIENTATION_TAG = 0x0112
# how an upright picture is turned back to what a file of each EXIF orientation stores
_TURNED_BACK = {
    1: lambda mask: mask,
    2: lambda mask: mask[:, ::-1],
    3: lambda mask: mask[::-1, ::-1],
    4: lambda mask: mask[::-1],
    5: lambda mask: mask.T,
    6: lambda mask: np.rot90(mask),
    7: lambda mask: mask[::-1, ::-1].T,
    8: lambda mask: np.rot90(mask, -1),
}


def cut_mask(focus: np.ndarray, *, threshold: float, margin: int = 0) -> np.ndarray:
    """Tell sharp pixels from others.

    Args:
        focus: Numbers H×W, the larger the sharper; float in [0,1] where the threshold is.
        threshold: From this focus on a pixel is sharp, in the map's own unit.
        margin: So many pixels the sharp side grows along its border; below 0 it shrinks, but not along the frame.

    Returns:
        bool H×W, True = sharp.
    """
    sharp: np.ndarray = focus >= threshold
    if margin == 0:
        return sharp
    # by distance, which costs the same for any margin
    away_from = (~sharp if margin > 0 else sharp).astype(np.uint8)
    if away_from.all():
        return sharp  # nothing to grow from
    distance = cv2.distanceTransform(away_from, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    grown: np.ndarray = distance <= margin if margin > 0 else distance > -margin
    return grown


def as_stored(mask: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an upright mask to the pixels as a file of this EXIF orientation (1 to 8) stores them."""
    return np.ascontiguousarray(_TURNED_BACK[orientation](mask))


def exif_orientation(exif: Mapping[int, Any]) -> int:
    """Give the orientation, 1 to 8, of EXIF values by tag; 1 (upright) where there is none, or none that exists."""
    orientation = exif.get(_ORIENTATION_TAG)
    return orientation if isinstance(orientation, int) and orientation in _TURNED_BACK else 1
