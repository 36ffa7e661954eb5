"""How a detector's figures change with what photos go through, as numbers and as curves."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dbd_ray.detection.detector import Detector
from dbd_ray.evaluation.corruptions import CHANGES
from dbd_ray.metrics import FocusMetrics
from dbd_ray.names import F_BETA, MAE

HEADLINE = (F_BETA, MAE)

Curves = dict[str, dict[float, dict[str, float]]]


def measure_robustness(
    detector: Detector,
    photos: Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]],
    *,
    changes: Sequence[str] = tuple(CHANGES),
    on_level: Callable[[str, float], Any] = lambda change, level: None,
) -> Curves:
    """Measure a detector on photos that went through every change at every strength.

    Args:
        detector: See `Detector.load`.
        photos: Gives photos (uint8 RGB H×W×3) and their truths (uint8 H×W, 255 = in focus), anew for each strength.
        changes: Which of `corruptions.CHANGES`.
        on_level: Called before each strength is measured.

    Returns:
        By change and strength, every metric of `metrics.METRIC_NAMES`.
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
        models: What `measure_robustness` gave, by the name of the model.
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
