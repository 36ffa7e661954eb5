"""The protocol of depth teachers: photos in, relative depth in [0,1] out, 0 near and 1 far."""

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np

from dbd_ray.errors import TeacherError

LargerIs = Literal["near", "far"]

PERCENTILES = (1, 99)
NOTHING_KNOWN = 0.5
ROUNDING = 1e-6  # a spread below this share of the values is what float32 arithmetic leaves, not a depth
TRIAL_SIZE = (224, 224)


class DepthTeacher(ABC):
    """A frozen depth estimator; a new one implements `raw_depth`.

    Attributes:
        name: Kind and name of the weights, e.g. `litert:pydnetpp`; without folders and device, so that it is the same
            on every machine.
        fingerprint: 16 hex digits of the SHA-256 over weights, preprocessing and the version of the teacher's code;
            device and number format change only the rounding and are not part of it.
        input_size: (height, width) that photos must have; None: any size, the same for all photos of a call.
        larger_is: Meaning of a larger raw output: "far" (depth) or "near" (inverse depth, which `predict` flips).
        failure: Message for a photo whose map is all NaN.
    """

    failure = "the teacher's output for this photo is not finite"

    def __init__(self, name: str, fingerprint: str, *, input_size: tuple[int, int] | None, larger_is: LargerIs) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.input_size = input_size
        self.larger_is: LargerIs = larger_is

    @property
    def key(self) -> str:
        """Identity of the teacher, name@fingerprint; the value of the column `depth_teacher`."""
        return f"{self.name}@{self.fingerprint}"

    @abstractmethod
    def raw_depth(self, photos: np.ndarray) -> np.ndarray:
        """Estimate depth in the network's own scale.

        Args:
            photos: uint8 RGB N×H×W×3, N ≥ 1, of `input_size` where it is set; they must not be written to.

        Returns:
            float32 N×H×W in any scale, `larger_is` tells which end is far; all NaN for a photo without a result.

        Raises:
            TeacherError: These photos are too many at once. Any other error is a fault of the machine and must not be
                blamed on the photos.
        """

    def predict(self, photos: np.ndarray) -> np.ndarray:
        """Estimate the relative depth of photos; each result is independent of the other photos in the batch.

        Args:
            photos: uint8 RGB N×H×W×3, of `input_size` where it is set.

        Returns:
            float32 N×H×W in [0,1], 0 = near, 1 = far, see `robust_scale`. A photo that fails has a map of NaN
            (`failure` says why) and does not affect the others.

        Raises:
            TeacherError: These photos are too many at once, or the output has not the shape of depth maps.
            ValueError: The photos are of another type or size.
        """
        self._check(photos)
        if len(photos) == 0:
            return np.empty(photos.shape[:3], np.float32)
        raw = self.raw_depth(photos)
        if raw.shape != photos.shape[:3]:
            raise TeacherError(
                f"{self.name}: {raw.shape} came out for photos of shape {photos.shape}: not a depth estimator"
            )
        depth = robust_scale(raw)
        return np.float32(1) - depth if self.larger_is == "near" else depth

    def try_out(self) -> None:
        """Predict one made-up photo, so that a broken teacher is found when it is loaded.

        Raises:
            TeacherError: Prediction fails, or its output is not finite.
        """
        height, width = self.input_size or TRIAL_SIZE
        ramp = np.add.outer(np.linspace(0, 127, height), np.linspace(0, 127, width)).astype(np.uint8)
        try:
            depth = self.predict(np.repeat(ramp[None, :, :, None], 3, axis=3))
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise TeacherError(f"{self.name}: cannot look at photos: {error}") from error
        if np.isnan(depth).any():
            raise TeacherError(
                f"{self.name}: its output for a test picture is not finite; the weights are damaged or of another "
                "network, get them again"
            )

    def _check(self, photos: np.ndarray) -> None:
        if photos.dtype != np.uint8 or photos.ndim != 4 or photos.shape[3] != 3:
            raise ValueError(f"photos must be uint8 N×H×W×3, got {photos.dtype} {photos.shape}")
        if self.input_size and photos.shape[1:3] != self.input_size:
            raise ValueError(
                f"{self.name} takes photos of {self.input_size}, got {photos.shape[1:3]}: resize them with "
                "dbd_ray.images.resize.resize_photo"
            )


def robust_scale(raw: np.ndarray) -> np.ndarray:
    """Scale each map to [0,1] by its own 1st and 99th percentile, and clip values beyond them.

    Args:
        raw: float N×H×W in any scale.

    Returns:
        float32 N×H×W. A map without any spread has no near and far: it becomes 0.5 everywhere. A map with a value
        that is not finite becomes NaN everywhere.
    """
    scaled = np.empty(raw.shape, np.float32)
    for values, out in zip(raw, scaled, strict=True):
        if not np.isfinite(values).all():
            out[:] = np.nan
            continue
        low, high = np.percentile(values.astype(np.float64), PERCENTILES)
        if high - low <= ROUNDING * max(abs(low), abs(high)):
            out[:] = NOTHING_KNOWN
        else:
            out[:] = ((values - low) / (high - low)).clip(0, 1)
    return scaled
