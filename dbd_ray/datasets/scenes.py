"""Random scenes for `render_defocus`: textured or photographed surfaces at known distances."""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from numpy.random import Generator
from pydantic import Field, model_validator

from dbd_ray.config import Settings
from dbd_ray.datasets.shapes import random_shape
from dbd_ray.datasets.textures import photo_piece, random_surface
from dbd_ray.datasets.thin_lens import (
    FOCUS_THRESHOLD_PX,
    Lens,
    RenderedScene,
    circle_of_confusion_px,
    render_defocus,
)
from dbd_ray.errors import ConfigError

_Kind = Literal["partial", "all_in_focus", "none_in_focus"]


class SceneConfig(Settings):
    """Settings of rendered scenes.

    The f-number is not among them: it follows from the CoC diameters that a scene is to have.
    """

    size: tuple[int, int] = Field(default=(320, 320), description="(height, width) in pixels.")
    focal_length_mm: tuple[float, float] = Field(default=(24.0, 135.0), description="Range of focal lengths.")
    sensor_width_mm: float = Field(default=36.0, gt=0, description="Sensor width that the picture's width covers.")
    focus_distance: tuple[float, float] = Field(
        default=(6.0, 25.0), description="Range of the scene's middle distance, in focal lengths."
    )
    max_coc_px: tuple[float, float] = Field(
        default=(4.0, 20.0), description="Range of the largest CoC diameter of a scene that is partly in focus."
    )
    focus_threshold_px: float = Field(
        default=FOCUS_THRESHOLD_PX, gt=0, description="CoC diameter below which is in focus."
    )
    shapes: tuple[int, int] = Field(default=(1, 5), description="Range of the number of things before the background.")
    ground_share: float = Field(default=0.5, ge=0, le=1, description="Share of scenes on a ground that recedes.")
    all_in_focus_share: float = Field(default=0.08, ge=0, le=1, description="Share of scenes without blur.")
    none_in_focus_share: float = Field(default=0.04, ge=0, le=1, description="Share of scenes without focus.")
    painted_share: float = Field(
        default=0.2, ge=0, le=1, description="Share of the things that are painted even where photos are given."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if min(self.size) < 16:
            raise ValueError("size must be at least 16 x 16")
        for name in ("focal_length_mm", "focus_distance", "max_coc_px", "shapes"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} must be two rising numbers")
        if self.focal_length_mm[0] <= 0 or self.focus_distance[0] < 3:
            raise ValueError("focal_length_mm must be positive, and focus_distance at least 3 focal lengths")
        if self.max_coc_px[0] <= self.focus_threshold_px:
            raise ValueError("max_coc_px must lie above focus_threshold_px, or nothing would be out of focus")
        if self.all_in_focus_share + self.none_in_focus_share > 1:
            raise ValueError("all_in_focus_share and none_in_focus_share add up to more than 1")
        return self


def render_scene(
    index: int,
    *,
    seed: int,
    config: SceneConfig,
    photos: Sequence[bytes] | Sequence[np.ndarray] | None = None,
) -> RenderedScene:
    """Render one random scene; the same arguments give the same scene on any worker, in any order.

    Args:
        index: Number of the scene, not negative.
        seed: Number of the series, not negative.
        config: Settings of the scenes.
        photos: Sharp photos, encoded or uint8 HxWx3, that surfaces are cut from; None: painted surfaces.

    Returns:
        The photo, focus mask, circles of confusion and depth.

    Raises:
        ConfigError: `photos` is given but empty, or a number is negative.
        PhotoError: A photo cannot be decoded.
    """
    if index < 0 or seed < 0:
        raise ConfigError(f"index and seed must not be negative, got {index} and {seed}")
    if photos is not None and len(photos) == 0:
        raise ConfigError("photos: give at least one photo, or None for painted surfaces")
    rng = np.random.default_rng([seed, index])
    kind = _kind(rng, config)
    focal_length_mm = _log_uniform(rng, config.focal_length_mm)
    middle_m = _log_uniform(rng, config.focus_distance) * focal_length_mm / 1000
    image, nearness = _assemble(rng, config, photos)
    depth_m = (middle_m / nearness).astype(np.float32)
    lens = _choose_lens(rng, kind, depth_m, focal_length_mm, config)
    return render_defocus(image, depth_m, lens, focus_threshold_px=config.focus_threshold_px)


def _kind(rng: Generator, config: SceneConfig) -> _Kind:
    draw = rng.random()
    if draw < config.all_in_focus_share:
        return "all_in_focus"
    return "none_in_focus" if draw < config.all_in_focus_share + config.none_in_focus_share else "partial"


def _log_uniform(rng: Generator, bounds: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _assemble(
    rng: Generator, config: SceneConfig, photos: Sequence[bytes] | Sequence[np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Stack surfaces; their nearness is the middle distance over the distance, linear on planes seen by a camera."""
    image = _surface(rng, config, photos, painted_share=0.0)
    nearness = np.full(config.size, rng.uniform(0.03, 0.6))
    nearness += _tilt(rng, config.size, rng.uniform(0, 0.4))
    surfaces: list[tuple[np.ndarray, np.ndarray]] = []
    if rng.random() < config.ground_share:
        surfaces.append(_ground(rng, config.size))
    for _ in range(rng.integers(config.shapes[0], config.shapes[1] + 1)):
        # things stand about the middle distance, at 0.4 to 2.5 times it
        plane = _log_uniform(rng, (0.4, 2.5)) + _tilt(rng, config.size, rng.choice([0.0, 0.0, 0.5]))
        surfaces.append((random_shape(rng, config.size), plane))
    for cover, plane in sorted(surfaces, key=lambda surface: float(surface[1].mean())):
        # where a plane runs behind what is there already, it is not seen
        cover = cover * (plane > nearness)
        colour = _surface(rng, config, photos, painted_share=config.painted_share)
        image = (image + cover[..., None] * (colour.astype(np.float32) - image) + 0.5).astype(np.uint8)
        nearness = np.where(cover >= 0.5, plane, nearness)
    return image, nearness.clip(0.02, 3.0)


def _surface(
    rng: Generator,
    config: SceneConfig,
    photos: Sequence[bytes] | Sequence[np.ndarray] | None,
    painted_share: float,
) -> np.ndarray:
    if photos is None or rng.random() < painted_share:
        return random_surface(rng, config.size)
    return photo_piece(rng, config.size, photos[int(rng.integers(len(photos)))])


def _tilt(rng: Generator, size: tuple[int, int], amount: float) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.linspace(-0.5, 0.5, size[0])[:, None], np.linspace(-0.5, 0.5, size[1])
    return amount * (np.cos(angle) * x + np.sin(angle) * y)


def _ground(rng: Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    below = np.linspace(0, 1, size[0])[:, None] - rng.uniform(0.0, 0.7)
    plane = np.broadcast_to(below * rng.uniform(1.0, 3.0), size) + _tilt(rng, size, rng.uniform(0, 0.2))
    return (plane > 0).astype(np.float32), plane


def _choose_lens(rng: Generator, kind: _Kind, depth_m: np.ndarray, focal_length_mm: float, config: SceneConfig) -> Lens:
    pitch_um = 1000 * config.sensor_width_mm / config.size[1]
    if kind == "none_in_focus":
        # focused on a point well before all of it
        focus_m = float(depth_m.min()) * rng.uniform(0.4, 0.7)
    else:
        # photographers focus near the centre, and more often on things than on what is behind them
        candidates = 4 if rng.random() < 0.7 else 1
        row, column = (rng.normal(0.5, 0.2, (candidates, 2)).clip(0, 0.99) * depth_m.shape).astype(int).T
        focus_m = float(depth_m[row, column].min())
    # f and N only scale the CoC, so N = 1 tells which N gives the wanted one
    focus_m = max(focus_m, 1.2 * focal_length_mm / 1000)
    wide_open_px = np.abs(circle_of_confusion_px(depth_m, Lens(focal_length_mm, 1.0, focus_m, pitch_um)))
    if kind == "partial":
        f_number = wide_open_px.max() / _log_uniform(rng, config.max_coc_px)
    elif kind == "all_in_focus":
        f_number = wide_open_px.max() / (config.focus_threshold_px * rng.uniform(0.1, 0.9))
    else:
        f_number = wide_open_px.min() / (config.focus_threshold_px * rng.uniform(1.2, 2.5))
    # a scene of one distance has no CoC at any aperture
    return Lens(focal_length_mm, max(float(f_number), 0.01), focus_m, pitch_um)
