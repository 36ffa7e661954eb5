"""What the values of a mask file mean: two levels of any height, soft levels, one class, or nothing."""

import numpy as np

from dbd_ray.images.containers import identify
from dbd_ray.images.encode import decode_mask
from dbd_ray.names import Polarity

_MIDDLE = 127
_LOSSY = {"jpeg", "webp", "avif", "heif"}
_LOSS = 16  # levels that such formats make of one, at qualities that masks are saved with


def mask_levels(data: bytes, polarity: Polarity) -> np.ndarray:
    """Read a mask file's levels; what lossy formats made of a mask of one level is that level again.

    Args:
        data: The encoded file.
        polarity: Meaning of white in the file.

    Returns:
        uint8 H×W, 255 = in focus, see `truth_of`.

    Raises:
        PhotoError: The bytes cannot be decoded.
    """
    levels = decode_mask(data, polarity=polarity)
    if identify(data) in _LOSSY:
        for one in (0, 255):
            if np.abs(levels.astype(np.int16) - one).max() <= _LOSS:
                return np.full_like(levels, one)
    return levels


def truth_of(levels: np.ndarray, polarity: Polarity, *, allow_constant: bool) -> np.ndarray | str:
    """Tell what a mask's levels mean.

    Two levels are the two classes, however far apart. More are soft where some lie above the middle and some below.

    Args:
        levels: uint8 H×W, see `mask_levels`.
        polarity: Meaning of white in the file, which messages count from.
        allow_constant: Accept a mask of one class (all in focus, or none).

    Returns:
        The truth, uint8 H×W with 255 = in focus; or what is wrong with the mask.
    """
    values = np.flatnonzero(np.bincount(levels.ravel(), minlength=256))
    low, high = int(values[0]), int(values[-1])
    stored = sorted((255 - low, 255 - high)) if polarity == "blur" else [low, high]
    if len(values) == 1:
        if low not in (0, 255):
            return f"its only value is {stored[0]} of 255, neither black nor white: write 0 or 255"
        one_class = "all in focus" if low else "all out of focus"
        return levels if allow_constant else f"empty mask, nothing is labelled apart ({one_class})"
    if len(values) == 2:
        return np.where(levels == high, np.uint8(255), np.uint8(0))
    if values.tolist() in ([0, 1, 255], [0, 254, 255]):  # the other polarity counts down
        return (
            "its values are 0, 1 and 255, as of masks whose class is 1 and whose unlabelled pixels are 255: "
            "write black as 0 and white as 255, and leave nothing unlabelled"
        )
    if high <= _MIDDLE or low > _MIDDLE:
        side = "below" if stored[1] <= _MIDDLE else "above"
        return (
            f"soft mask of {len(values)} values from {stored[0]} to {stored[1]} of 255, all {side} the middle, "
            "so that nothing is labelled apart: write black as 0 and white as 255"
        )
    return levels
