"""Rendering of defocus with a thin lens, from an all-in-focus picture and its depth."""

from dataclasses import dataclass, fields

import numpy as np

from dbd_ray.datasets.compositing import composite
from dbd_ray.errors import ConfigError
from dbd_ray.images.srgb import linear_to_srgb, srgb_to_linear

# a disc of 2 px has a standard deviation of 0.5 px per axis, about what sampling a sharp photo costs anyway:
# below it nobody who labels a photo at this size sees a difference
FOCUS_THRESHOLD_PX = 2.0


@dataclass(frozen=True)
class Lens:
    """A thin lens in front of a sensor.

    Args:
        focal_length_mm: Focal length f.
        f_number: N; the aperture's diameter is f / N.
        focus_distance_m: Distance s of the plane that is sharp, beyond the focal length.
        pixel_pitch_um: Side of one pixel of the rendered picture on the sensor.

    Raises:
        ConfigError: A value is not positive and finite, or the lens cannot focus that close.
    """

    focal_length_mm: float
    f_number: float
    focus_distance_m: float
    pixel_pitch_um: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (np.isfinite(value) and value > 0):
                raise ConfigError(f"{field.name}: must be a positive number, got {value}")
        if self.focus_distance_m * 1000 <= self.focal_length_mm:
            raise ConfigError(
                f"focus_distance_m: {self.focus_distance_m} m is within the focal length of "
                f"{self.focal_length_mm} mm, where no lens can focus; choose a larger distance"
            )


@dataclass(frozen=True)
class RenderedScene:
    """A rendered photo with its focus mask, circles of confusion, depth and lens.

    Args:
        photo: uint8 HxWx3, sRGB.
        focus: bool HxW, where |CoC| is below the threshold.
        coc_px: float32 HxW, signed diameter of the circle of confusion in pixels.
        depth_m: float32 HxW, distance in metres, may be infinite.
        depth: float32 HxW in [0,1], relative, 0 near and 1 far, linear in 1/distance as single-image
            depth networks predict it; 0 everywhere when all is equally far.
        lens: The lens that it was rendered with.
    """

    photo: np.ndarray
    focus: np.ndarray
    coc_px: np.ndarray
    depth_m: np.ndarray
    depth: np.ndarray
    lens: Lens


def circle_of_confusion_px(depth_m: np.ndarray, lens: Lens) -> np.ndarray:
    """Compute the diameter of each point's circle of confusion, c = A * f / (s - f) * (d - s) / d with A = f / N.

    Thin-lens geometry: a point at d is imaged behind or before the sensor, and the cone of light from the
    aperture A cuts the sensor in a disc of diameter |c|.

    Args:
        depth_m: float32 of any shape, distance d in metres, positive; infinity is allowed.
        lens: The lens, with f, N, s and the size of a pixel.

    Returns:
        float32 of the same shape, diameter in pixels; negative in front of the focus plane, positive behind it.

    Raises:
        ConfigError: A distance is not positive.
    """
    if not (depth_m > 0).all():
        raise ConfigError("depth_m: every distance must be positive (infinity is allowed, NaN is not)")
    focal_m = lens.focal_length_mm / 1000
    at_infinity_m = focal_m / lens.f_number * focal_m / (lens.focus_distance_m - focal_m)
    at_infinity_px = at_infinity_m / (lens.pixel_pitch_um / 1e6)
    # (d - s) / d in a form that an infinite d survives
    return (at_infinity_px * (1 - lens.focus_distance_m / depth_m.astype(np.float64))).astype(np.float32)


def render_defocus(
    image: np.ndarray,
    depth_m: np.ndarray,
    lens: Lens,
    *,
    focus_threshold_px: float = FOCUS_THRESHOLD_PX,
) -> RenderedScene:
    """Render an all-in-focus picture as a thin lens would take it.

    Light is mixed linearly (sRGB is undone and redone), slice by slice of depth from far to near, see
    `datasets.compositing.composite`.

    Args:
        image: uint8 HxWx3, sRGB, everything in focus.
        depth_m: float32 HxW, distance of each pixel in metres, positive; infinity is allowed.
        lens: The lens and the distance that it is focused at.
        focus_threshold_px: A pixel counts as in focus below this diameter of its circle of confusion.

    Returns:
        The photo with its circles of confusion, focus mask and depth.

    Raises:
        ConfigError: Sizes differ, a distance is not positive, or the threshold is not positive.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or depth_m.shape != image.shape[:2]:
        raise ConfigError(
            f"image must be uint8 HxWx3 and depth_m HxW of the same size, got {image.dtype} {image.shape} "
            f"and {depth_m.shape}"
        )
    if not focus_threshold_px > 0:
        raise ConfigError(f"focus_threshold_px: must be positive, got {focus_threshold_px}")
    coc_px = circle_of_confusion_px(depth_m, lens)
    photo = linear_to_srgb(composite(srgb_to_linear(image), coc_px))
    focus = np.abs(coc_px) < focus_threshold_px
    return RenderedScene(photo, focus, coc_px, depth_m.astype(np.float32), relative_depth(depth_m), lens)


def relative_depth(depth_m: np.ndarray) -> np.ndarray:
    """Scale distances in metres to [0,1], 0 nearest and 1 farthest, linear in 1/distance."""
    nearness = (1 / depth_m.astype(np.float64)).astype(np.float32)
    near, far = float(nearness.max()), float(nearness.min())
    if near == far:
        return np.zeros_like(nearness)
    return ((near - nearness) / np.float32(near - far)).clip(0, 1)
