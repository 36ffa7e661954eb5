"""Makes the pictures of the README: `eggs.jpg`, a photo, and `focus.png`, the photo with its focus map and overlay.

The photo is painted and rendered here, so that it may be published: eggs on a table, traced ray by ray at known
distances and blurred by the package's thin lens. Map and overlay are what the packaged model says of it.

    python docs/images/make.py
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from dbd_ray.datasets.compositing import composite
from dbd_ray.datasets.thin_lens import Lens, circle_of_confusion_px
from dbd_ray.detection.detector import Detector
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import encode_photo
from dbd_ray.images.overlay import overlay
from dbd_ray.images.srgb import linear_to_srgb

FOLDER = Path(__file__).parent
SIZE = (640, 960)  # of the photo, height and width, px
SHOWN = (300, 450)  # of each of the three pictures, px
GAP_PX = 10
SAMPLES = 2  # rays per pixel and axis
CAMERA = np.array([0.0, 0.26, 0.0])  # metres: right, up, forward
PITCH = -0.155  # radians, downwards
FOCAL_LENGTH_MM, F_NUMBER, SENSOR_WIDTH_MM = 70.0, 1.8, 36.0
SUN = np.array([-0.55, 0.75, -0.45]) / np.linalg.norm([-0.55, 0.75, -0.45])
WALL_M, LIGHTS = 4.0, 46


class Egg(NamedTuple):
    """An ellipsoid that stands on the table.

    Attributes:
        x: Metres to the right.
        z: Metres before the camera.
        radius: Half of its width in metres.
        colours: Colours of its ground and its bands, linear RGB.
        bands: Number of bands from pole to pole.
        waves: Waves of a band around the egg.
    """

    x: float
    z: float
    radius: float
    colours: tuple[tuple[float, float, float], tuple[float, float, float]]
    bands: int
    waves: int


FOCUSED = Egg(0.005, 0.98, 0.058, ((0.72, 0.06, 0.04), (0.95, 0.82, 0.52)), 6, 7)
EGGS = (
    Egg(-0.14, 0.70, 0.050, ((0.03, 0.18, 0.32), (0.72, 0.78, 0.70)), 5, 6),
    FOCUSED,
    Egg(0.235, 1.30, 0.064, ((0.75, 0.42, 0.04), (0.25, 0.05, 0.02)), 7, 9),
    Egg(-0.28, 1.62, 0.068, ((0.10, 0.30, 0.07), (0.80, 0.78, 0.35)), 5, 8),
    Egg(0.10, 2.10, 0.075, ((0.30, 0.09, 0.33), (0.85, 0.60, 0.75)), 6, 6),
)


def paint() -> tuple[np.ndarray, np.ndarray]:
    """Trace the scene: linear light, float32 H×W×3, and the distance along the axis in metres, float32 H×W."""
    height, width = SIZE[0] * SAMPLES, SIZE[1] * SAMPLES
    y, x = np.mgrid[0:height, 0:width].astype(np.float64) + 0.5
    scale = SENSOR_WIDTH_MM / FOCAL_LENGTH_MM / width
    across, up = (x - width / 2) * scale, (height / 2 - y) * scale
    ray = np.stack([across, up * np.cos(PITCH) + np.sin(PITCH), np.cos(PITCH) - up * np.sin(PITCH)], axis=-1)

    rng = np.random.default_rng(4)
    nearest = np.where(ray[..., 1] < 0, -CAMERA[1] / np.minimum(ray[..., 1], -1e-9), np.inf)
    is_wall = nearest > WALL_M
    nearest = np.where(is_wall, WALL_M / ray[..., 2], nearest)
    point = CAMERA + nearest[..., None] * ray
    light = np.where(is_wall[..., None], _wall(point, rng), _table(point, rng))
    for egg in EGGS:
        distance, normal, spot = _meet(egg, ray)
        hit = distance < nearest
        light[hit] = _shell(egg, normal[hit], spot[hit], ray[hit], rng)
        nearest = np.where(hit, distance, nearest)
    depth = nearest.reshape(SIZE[0], SAMPLES, SIZE[1], SAMPLES).min(axis=(1, 3))
    return cv2.resize(light.astype(np.float32), SIZE[::-1], interpolation=cv2.INTER_AREA), depth.astype(np.float32)


def _meet(egg: Egg, ray: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axes = egg.radius * np.array([1.0, 1.3, 1.0])
    start, way = (CAMERA - [egg.x, axes[1], egg.z]) / axes, ray / axes
    a, b, c = (way**2).sum(-1), (way * start).sum(-1), (start**2).sum() - 1
    inside = b**2 - a * c
    distance = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, np.inf)
    spot = start + np.where(np.isfinite(distance), distance, 0)[..., None] * way
    normal = spot / axes
    return distance, normal / np.linalg.norm(normal, axis=-1, keepdims=True), spot


def _shell(egg: Egg, normal: np.ndarray, spot: np.ndarray, ray: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    around = np.arctan2(spot[:, 2], spot[:, 0])
    height = np.arccos(spot[:, 1].clip(-1, 1)) / np.pi * egg.bands + 0.16 * np.sin(egg.waves * around)
    band = (np.abs(height % 1 - 0.5) < 0.20).astype(float)
    dots = ((height + 0.5) % 1 - 0.5) ** 2 * 14 + ((around * egg.waves / 3.1416) % 1 - 0.5) ** 2 < 0.10
    paint_share = np.maximum(band, dots)[:, None]
    colour = np.array(egg.colours[0]) * (1 - paint_share) + np.array(egg.colours[1]) * paint_share
    speckle = _noise(np.stack([around * 40, spot[:, 1] * 40], axis=1), rng)
    colour = colour * (0.72 + 0.56 * speckle[:, None])
    lit = np.clip(normal @ SUN, 0, None)[:, None]
    sky = 0.5 + 0.5 * normal[:, 1:2]
    half = SUN - ray / np.linalg.norm(ray, axis=1, keepdims=True)
    gloss = np.clip((normal * half).sum(1) / np.linalg.norm(half, axis=1), 0, 1)[:, None] ** 90
    return colour * (0.95 * lit + 0.28 * sky + 0.05) + 0.5 * gloss


def _table(point: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    x, z = point[..., 0], point[..., 2]
    plank = np.floor(x / 0.16 + 0.35)
    tone = 0.75 + 0.5 * np.random.default_rng(9).random(64)[plank.astype(int) % 64]
    grain = _noise(np.stack([x * 160 + plank * 7, z * 9 + plank * 31], axis=-1), rng)
    fine = _noise(np.stack([x * 620, z * 34], axis=-1), rng)
    seam = np.abs(x / 0.16 + 0.35 - np.round(x / 0.16 + 0.35)) < 0.018
    shade = tone * (0.45 + 0.55 * grain) * (0.65 + 0.5 * fine) * np.where(seam, 0.35, 1)
    for egg in EGGS:
        # the sun's shadow, an ellipse that softens away from the egg, and the dark spot on which the egg stands
        dx, dz = x - egg.x, z - egg.z
        along = (dx * SUN[0] + dz * SUN[2]) / np.hypot(SUN[0], SUN[2]) / egg.radius
        beside = (dx * SUN[2] - dz * SUN[0]) / np.hypot(SUN[0], SUN[2]) / egg.radius
        from_middle = np.hypot((along + 0.95) / 1.75, beside)
        shade = shade * (1 - 0.72 * np.clip((1.12 - from_middle) / 0.3, 0, 1))
        shade = shade * (1 - 0.6 * np.exp(-((dx**2 + dz**2) / (0.55 * egg.radius) ** 2)))
    return np.array([0.50, 0.29, 0.15]) * shade[..., None]


def _wall(point: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    dusk = np.clip((point[..., 1] + 0.6) / 2.2, 0, 1)[..., None]
    light = np.array([0.035, 0.045, 0.060]) * (1 - dusk) + np.array([0.012, 0.022, 0.050]) * dusk
    for _ in range(LIGHTS):
        x, y = rng.uniform(-1.1, 1.1), rng.uniform(-0.30, 0.42)
        colour = np.array([(1.0, 0.62, 0.25), (1.0, 0.75, 0.42), (0.9, 0.32, 0.18), (0.45, 0.7, 1.0)])[rng.integers(4)]
        lit = (point[..., 0] - x) ** 2 + (point[..., 1] - y) ** 2 < 0.0105**2
        light = light + lit[..., None] * colour * rng.uniform(8, 26)
    return light


def _noise(at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise in [0,1] at points of a plane, a cell of 1."""
    table = rng.random((256, 256))
    cell = np.floor(at).astype(int)
    part = at - cell
    part = part**2 * (3 - 2 * part)
    corners = [
        table[(cell[..., 0] + dx) % 256, (cell[..., 1] + dy) % 256]
        * (part[..., 0] if dx else 1 - part[..., 0])
        * (part[..., 1] if dy else 1 - part[..., 1])
        for dx in (0, 1)
        for dy in (0, 1)
    ]
    total: np.ndarray = np.sum(corners, axis=0)
    return total


def take_photo() -> np.ndarray:
    """Take the photo with the lens focused on the middle egg, with a little sensor noise; uint8 H×W×3."""
    light, depth_m = paint()
    lens = Lens(
        focal_length_mm=FOCAL_LENGTH_MM,
        f_number=F_NUMBER,
        focus_distance_m=FOCUSED.z - 0.6 * FOCUSED.radius,
        pixel_pitch_um=1000 * SENSOR_WIDTH_MM / SIZE[1],
    )
    photo = linear_to_srgb(composite(light, circle_of_confusion_px(depth_m, lens)).clip(0, 1))
    noise = np.random.default_rng(1).normal(0, 1.2, photo.shape)
    return np.rint(photo + noise).clip(0, 255).astype(np.uint8)


def main() -> None:
    """Write both."""
    (FOLDER / "eggs.jpg").write_bytes(encode_photo(take_photo(), quality=92))
    photo = decode_photo((FOLDER / "eggs.jpg").read_bytes())
    (found,) = Detector.load("lite", engine="eager").detect([photo])
    focus = np.repeat(np.rint(found.focus * 255).astype(np.uint8)[..., None], 3, axis=2)
    shown = [
        cv2.resize(one, SHOWN[::-1], interpolation=cv2.INTER_AREA)
        for one in (photo, focus, overlay(photo, found.focus))
    ]
    gap = np.full((SHOWN[0], GAP_PX, 3), 255, np.uint8)
    strip = np.concatenate([shown[0], gap, shown[1], gap, shown[2]], axis=1)
    Image.fromarray(strip).save(FOLDER / "focus.png", optimize=True)


if __name__ == "__main__":
    main()
