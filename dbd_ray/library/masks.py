"""Masks for reconstruction programs: white where a photo is sharp, in the pixels as the photo's file stores them."""

import posixpath

import cv2
import numpy as np

from dbd_ray.names import MaskLayout

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
    sharp = focus >= threshold * 255
    if margin:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
        sharp = cv2.erode(sharp.astype(np.uint8), disc, borderType=cv2.BORDER_CONSTANT, borderValue=1) > 0
    return np.ascontiguousarray(_TURNED_BACK[orientation](sharp))


def mask_name(path: str, layout: MaskLayout) -> str:
    """Name a photo's mask as the program looks for it, below the folder of masks.

    Args:
        path: Of the photo, below the folder of photos.
        layout: "colmap" (`ImageReader.mask_path`, which gsplat's and others' loaders follow): cam1/0001.jpg.png;
            "nerfstudio" (`masks_path` of its COLMAP data parser): cam1/0001.png.
    """
    return f"{path}.png" if layout == "colmap" else f"{posixpath.splitext(path)[0]}.png"
