"""Visualisation: photos with their in-focus parts marked, and maps in false colours."""

from typing import Literal

import cv2
import numpy as np

from dbd_ray.images.resize import within

Colormap = Literal["viridis", "turbo", "magma"]

_COLORMAPS: dict[Colormap, int] = {
    "viridis": cv2.COLORMAP_VIRIDIS,
    "turbo": cv2.COLORMAP_TURBO,
    "magma": cv2.COLORMAP_MAGMA,
}
_CONTOUR_RGB = (255, 208, 0)  # the same as LINE in serving/web/layers.js


def overlay(photo: np.ndarray, focus: np.ndarray, *, opacity: float = 0.6) -> np.ndarray:
    """Make the out-of-focus parts of a photo dark and gray, and outline the in-focus parts with a bright line.

    Args:
        photo: uint8 RGB HxWx3.
        focus: float HxW in [0,1] or bool, 1 = in focus, of the photo's size.
        opacity: Degree to which out-of-focus parts are darkened, 0 (not at all) to 1 (black).

    Returns:
        uint8 RGB HxWx3; pixels with focus 1 are unchanged, except under the line.

    Raises:
        ValueError: When the map has another size than the photo, or opacity is outside [0,1].
    """
    if focus.shape != photo.shape[:2]:
        raise ValueError(f"the focus map is {focus.shape}, the photo {photo.shape[:2]}: refine the map to the photo")
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must lie within [0,1], got {opacity}")
    focus = focus.astype(np.float32)
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    dimmed = cv2.cvtColor(cv2.convertScaleAbs(gray, alpha=1 - opacity), cv2.COLOR_GRAY2RGB)
    picture = cv2.blendLinear(photo, dimmed, focus, 1 - focus)
    width_px = max(1, round(min(focus.shape) / 400))
    # padded, so that areas cut by the frame get no line along it
    pad = width_px + 1
    padded = cv2.copyMakeBorder((focus >= 0.5).astype(np.uint8), pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    contours, _ = cv2.findContours(padded, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE, offset=(-pad, -pad))
    cv2.drawContours(picture, contours, -1, _CONTOUR_RGB, width_px, cv2.LINE_AA)
    return picture


def small_pictures(photo: np.ndarray, focus: np.ndarray, long_side: int) -> tuple[np.ndarray, np.ndarray]:
    """Shrink a photo, and make the overlay at that size.

    Args:
        photo: uint8 RGB HxWx3.
        focus: float HxW in [0,1], of the photo's size.
        long_side: Longer side of the small pictures at most, px.

    Returns:
        The small photo and its overlay, uint8 RGB hxwx3.
    """
    size = within((photo.shape[0], photo.shape[1]), long_side)[::-1]
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    levels = cv2.resize(focus.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return small, overlay(small, levels)


def colourize(values: np.ndarray, colormap: Colormap = "viridis") -> np.ndarray:
    """Render a map in false colours, from dark at 0 to bright at 1.

    Args:
        values: float HxW in [0,1]; values outside are clipped.
        colormap: Name of the colour map.

    Returns:
        uint8 RGB HxWx3.
    """
    levels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, _COLORMAPS[colormap]), cv2.COLOR_BGR2RGB)
