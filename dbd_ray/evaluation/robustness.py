"""Robustness of a detector: its metrics on photos corrupted at stated strengths, as numbers and as curves."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from dbd_ray.detection.detector import Detector
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.srgb import linear_to_srgb, srgb_to_linear
from dbd_ray.metrics import FocusMetrics
from dbd_ray.names import F_BETA, MAE

HEADLINE = (F_BETA, MAE)
FULL_WELL = 60_000  # electrons in a white pixel at ISO 100, a full-frame sensor's order of magnitude
READ_NOISE = 3.0  # electrons

Change = Callable[[np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]]
Curves = dict[str, dict[float, dict[str, float]]]


def _jpeg(photo: np.ndarray, truth: np.ndarray, quality: float) -> tuple[np.ndarray, np.ndarray]:
    _, encoded = cv2.imencode(".jpg", photo[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    return decode_photo(encoded.tobytes()), truth


def _noise(photo: np.ndarray, truth: np.ndarray, iso: float) -> tuple[np.ndarray, np.ndarray]:
    # photon noise grows as fewer electrons make white; seeded, so that every model sees the same
    rng = np.random.default_rng(0)
    white = FULL_WELL * 100 / iso
    electrons = srgb_to_linear(photo) * white
    noisy = rng.poisson(electrons) + rng.normal(0, READ_NOISE, photo.shape)
    return linear_to_srgb((noisy / white).astype(np.float32)), truth


def _exposure(photo: np.ndarray, truth: np.ndarray, stops: float) -> tuple[np.ndarray, np.ndarray]:
    return linear_to_srgb(srgb_to_linear(photo) * np.float32(2**stops)), truth


def _scale(photo: np.ndarray, truth: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    height, width = truth.shape
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(photo, size, interpolation=how), cv2.resize(truth, size, interpolation=cv2.INTER_NEAREST)


def _rotate(photo: np.ndarray, truth: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    if degrees % 90 == 0:
        turns = int(degrees // 90)
        return np.ascontiguousarray(np.rot90(photo, turns)), np.ascontiguousarray(np.rot90(truth, turns))
    height, width = truth.shape
    turn = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), degrees, 1.0)
    border = cv2.BORDER_REFLECT_101
    return (
        cv2.warpAffine(photo, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=border),
        cv2.warpAffine(truth, turn, (width, height), flags=cv2.INTER_NEAREST, borderMode=border),
    )


def _gray(photo: np.ndarray, truth: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    gray = cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(gray, share, photo, 1 - share, 0), truth


CHANGES: Mapping[str, tuple[Change, tuple[float, ...]]] = MappingProxyType(
    {
        "JPEG quality": (_jpeg, (95, 80, 60, 45, 30)),
        "sensor noise, ISO": (_noise, (100, 400, 1600, 3200, 6400)),
        "exposure, stops": (_exposure, (-2, -1, 0, 1, 2)),
        "scale": (_scale, (0.25, 0.5, 1, 2, 4)),
        "rotation, degrees": (_rotate, (0, 15, 45, 90, 180, 270)),
        "black and white, share": (_gray, (0, 0.5, 1)),
    }
)
"""By name: the change of a photo (uint8 RGB H×W×3) with its truth (uint8 H×W), and the strengths to measure at."""


def measure_robustness(
    detector: Detector,
    photos: Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]],
    *,
    changes: Sequence[str] = tuple(CHANGES),
    on_level: Callable[[str, float], Any] = lambda change, level: None,
) -> Curves:
    """Measure a detector on photos changed in every way at every strength.

    Args:
        detector: See `Detector.load`.
        photos: Gives photos (uint8 RGB H×W×3) and their truths (uint8 H×W, 255 = in focus), anew for each strength.
        changes: Names in `CHANGES`.
        on_level: Called before each strength is measured.

    Returns:
        Every metric of `metrics.METRIC_NAMES`, by change and strength.
    """
    curves: Curves = {}
    for change in changes:
        apply, levels = CHANGES[change]
        for level in levels:
            on_level(change, level)
            metrics = FocusMetrics()
            for photo, truth in photos():
                changed, moved = apply(photo, truth, level)
                metrics.update(detector.detect([changed], refine="bilinear")[0].focus, moved)
            curves.setdefault(change, {})[level] = metrics.compute()
    return curves


def draw_robustness(models: Mapping[str, Curves]) -> Figure:
    """Draw F and MAE against the strength of every change.

    Args:
        models: Results of `measure_robustness` by the name of the model.
    """
    changes = list(dict.fromkeys(change for curves in models.values() for change in curves))
    figure = Figure(figsize=(3.2 * len(changes), 5.6), layout="constrained")
    all_axes = figure.subplots(len(HEADLINE), len(changes), squeeze=False, sharey="row")
    for row, metric in enumerate(HEADLINE):
        for column, change in enumerate(changes):
            axes = all_axes[row][column]
            for name, curves in models.items():
                levels = curves.get(change, {})
                # evenly spaced, as the strengths are steps and not a scale of their own
                axes.plot([f"{level:g}" for level in levels], [levels[x][metric] for x in levels], "o-", label=name)
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_xlabel(change)
        all_axes[row][0].set_ylabel("F, pooled (higher is better)" if row == 0 else "MAE (lower is better)")
    all_axes[0][0].legend(frameon=False)
    return figure
