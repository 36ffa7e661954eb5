"""Focus stacks: one scene at several focus distances, where the frames themselves say which is the sharpest where."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

STACK_METRIC_DEFINITIONS: Mapping[str, str] = {
    "stack_accuracy": (
        "Share of the clear pixels where the sharpest frame's map is higher than that of every other frame, pixels of "
        "all stacks pooled. A pixel is clear where one frame's squared Laplacian of the luma, smoothed by a Gaussian "
        "of 8 px, is at least 2.5 times that of every other."
    ),
    "stack_one_frame": (
        "The same share for an answer that ignores the pictures but names, for each stack, the one frame that is the "
        "sharpest most often: what stack_accuracy has to exceed."
    ),
}
SMOOTHING_PX = 8  # about the width of what a focus map resolves; noise and single edges decide nothing
CLEAR_RATIO = 2.5


def sharpest_frame(frames: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Find the sharpest frame of a stack at every pixel, by local Laplacian energy.

    Args:
        frames: Two or more, uint8 RGB H×W×3 of one size.

    Returns:
        Number of the sharpest frame, H×W, and where it is clearly the sharpest, bool H×W.

    Raises:
        ValueError: There are fewer than two frames, or their sizes differ.
    """
    if len(frames) < 2 or len({frame.shape for frame in frames}) > 1:
        sizes = ", ".join("×".join(map(str, frame.shape[:2])) for frame in frames)
        raise ValueError(f"a focus stack has two or more frames of one size, not these: {sizes or 'none'}")
    energies = np.stack([_energy(frame) for frame in frames])
    second, first = np.partition(energies, -2, axis=0)[-2:]
    return energies.argmax(axis=0), (first > 0) & (first >= CLEAR_RATIO * second)


class StackMetrics:
    """The metrics of `STACK_METRIC_DEFINITIONS` over any number of focus stacks; mergeable, in constant memory."""

    def __init__(self) -> None:
        self._clear = self._right = self._one_frame = 0

    def update(self, frames: Sequence[NDArray[np.uint8]], maps: Sequence[NDArray[Any]]) -> dict[str, float]:
        """Add one stack.

        Args:
            frames: See `sharpest_frame`.
            maps: Predicted focus map of each frame, float H×W in [0,1].

        Returns:
            This stack's metrics, and `clear_fraction`, the share of its pixels that count; NaN where none does.

        Raises:
            ValueError: The frames are no stack, or the maps do not fit them.
        """
        if len(maps) != len(frames) or any(m.shape != f.shape[:2] for m, f in zip(maps, frames, strict=False)):
            raise ValueError("every frame of a focus stack needs a map of its own size")
        sharpest, clear = sharpest_frame(frames)
        ranked = np.sort(np.stack(maps), axis=0)
        told_apart = ranked[-1] > ranked[-2]  # maps that are alike everywhere say nothing
        right = (np.argmax(maps, axis=0) == sharpest) & told_apart & clear
        one = StackMetrics()
        one._clear = int(clear.sum())
        one._right = int(right.sum())
        one._one_frame = int(np.bincount(sharpest[clear], minlength=1).max())
        self.merge(one)
        return one._values() | {"clear_fraction": float(clear.mean())}

    def merge(self, other: "StackMetrics") -> Self:
        """Add the stacks that another accumulator saw; exact, whatever the order."""
        self._clear += other._clear
        self._right += other._right
        self._one_frame += other._one_frame
        return self

    def compute(self) -> dict[str, float]:
        """Give every metric over the stacks so far, in [0,1]; ValueError where no pixel was clear."""
        if not self._clear:
            raise ValueError("in no pixel is one frame clearly the sharpest: these are no focus stacks")
        return self._values()

    def _values(self) -> dict[str, float]:
        counts = (self._right, self._one_frame)
        shares = [count / self._clear if self._clear else float("nan") for count in counts]
        return dict(zip(STACK_METRIC_DEFINITIONS, shares, strict=True))


def _energy(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.GaussianBlur(cv2.Laplacian(luma, cv2.CV_32F) ** 2, (0, 0), SMOOTHING_PX).astype(np.float32)
