"""The result of detection in one photo: focus map, depth map and summary."""

from dataclasses import dataclass

import cv2
import numpy as np

from dbd_ray.summary import SharpArea, Summary, kind_of

IN_FOCUS = 0.5  # a pixel of at least this value counts as in focus


@dataclass(frozen=True)
class FocusMap:
    """Result of detection in one photo.

    Attributes:
        focus: float32 H×W in [0,1] at the photo's size, 1 = in focus.
        depth: float32 H×W in [0,1] at the photo's size, 0 near, 1 far; None where the network has no depth.
        summary: The focus map in a few numbers.
    """

    focus: np.ndarray
    depth: np.ndarray | None
    summary: Summary


def summarize(focus: np.ndarray, *, model: str, model_fingerprint: str) -> Summary:
    """Summarise a focus map.

    Args:
        focus: float32 H×W in [0,1], 1 = in focus.
        model: Name of the checkpoint that made it.
        model_fingerprint: Fingerprint of that checkpoint.
    """
    # OpenCV's one pass per number: NumPy's temporary arrays would cost as much as a network at 24 megapixels
    sharp = (focus >= IN_FOCUS).view(np.uint8)
    count = cv2.countNonZero(sharp)
    fraction = count / sharp.size
    # the mean of |2f - 1|, which is 2f - 1 where it is sharp and 1 - 2f elsewhere
    surplus = 4 * count * cv2.mean(focus, sharp)[0] - 2 * cv2.sumElems(focus)[0] + sharp.size - 2 * count
    return Summary(
        focus_kind=kind_of(fraction),
        in_focus_fraction=fraction,
        sharp_area=_sharp_area(sharp),
        focus_confidence=max(0.0, surplus / sharp.size),  # rounding must not make it negative
        model=model,
        model_fingerprint=model_fingerprint,
    )


def _sharp_area(sharp: np.ndarray) -> SharpArea | None:
    rows = cv2.reduce(sharp, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    columns = cv2.reduce(sharp, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    total = int(rows.sum())
    if total == 0:
        return None
    (ys,), (xs,) = rows.nonzero(), columns.nonzero()
    return SharpArea(
        left=int(xs[0]),
        top=int(ys[0]),
        right=int(xs[-1]) + 1,
        bottom=int(ys[-1]) + 1,
        centroid_x=float(columns @ np.arange(len(columns)) / total),
        centroid_y=float(rows @ np.arange(len(rows)) / total),
    )
