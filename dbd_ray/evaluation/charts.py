"""Charts of precision and recall, of calibration and of training, as SVG."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import TypeVar

import numpy as np
from matplotlib.axes import Axes

from dbd_ray.evaluation.chart_style import DARK, LIGHT, Theme, add_legend, new_figure, svg_text, whole_ticks
from dbd_ray.metrics import F_BETA2, METRIC_NAMES, PrCurve, Reliability, lower_is_better

Curve = TypeVar("Curve")

_MAX_LINES = 5
# endings of what training reports beside its losses; on the same axis these would flatten every loss curve
_NOT_A_LOSS = (
    *("lr", "rate", "norm", "seconds", "_s", "images", "share", "step", "epoch", "memory", "_bytes"),
    *("effective_batch", "workers", "spread", "accuracy", "norm/networks", "norm/discriminators"),
)


def pr_curve_chart(curves: Mapping[str, PrCurve], dark: bool = False) -> str:
    """Draw precision-recall curves over lines of equal F, each with its best threshold marked.

    Args:
        curves: Curve by label, in the order of the legend.
        dark: Draw for a dark page.

    Returns:
        The picture as SVG text.
    """
    theme = DARK if dark else LIGHT
    figure, (axes,) = new_figure(theme, 1, (7.4, 4.6))
    _draw_equal_f(axes, theme)
    for colour, label, curve in _lines(curves, theme):
        weighted = np.maximum(F_BETA2 * curve.precision + curve.recall, 1e-12)
        f_values = (1 + F_BETA2) * curve.precision * curve.recall / weighted
        best = int(f_values.argmax())
        axes.plot(
            curve.recall,
            curve.precision,
            color=colour,
            linewidth=2.4,
            label=f"{label}: best F {f_values[best]:.3f} at threshold {best}",
        )
        axes.plot(
            curve.recall[best], curve.precision[best], "o", color=colour, markersize=9, markeredgecolor=theme.surface,
            markeredgewidth=2,
        )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel="Recall of in-focus pixels", ylabel="Precision")
    if curves:
        add_legend(axes, theme, "lower left")
    return svg_text(figure)


def reliability_chart(curves: Mapping[str, Reliability], dark: bool = False) -> str:
    """Draw reliability curves over the diagonal of perfect calibration, and beside them how the pixels are spread.

    Args:
        curves: Curve by label, in the order of the legend.
        dark: Draw for a dark page.

    Returns:
        The picture as SVG text.
    """
    theme = DARK if dark else LIGHT
    figure, (axes, spread) = new_figure(theme, 2, (9.2, 4.2))
    axes.plot((0, 1), (0, 1), color=theme.muted, linewidth=0.8, linestyle=(0, (2, 3)))
    for colour, label, curve in _lines(curves, theme):
        seen = curve.pixels > 0
        axes.plot(
            curve.predicted[seen], curve.actual[seen], color=colour, linewidth=2.4, marker="o", markersize=5,
            clip_on=False, label=f"{label}: expected error {curve.expected_error:.3f}",
        )  # fmt: skip
        edges = np.linspace(0, 1, len(curve.pixels) + 1)
        shares = curve.pixels / max(1, curve.pixels.sum())
        spread.stairs(shares, edges, color=colour, linewidth=2, fill=len(curves) == 1)
    axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel="Predicted focus value", ylabel="Share of pixels in focus")
    spread.set(xlim=(0, 1), ylim=(0, None), xlabel="Predicted focus value", ylabel="Share of all pixels")
    if curves:
        add_legend(axes, theme, "upper left")
    return svg_text(figure)


def loss_chart(history: Sequence[Mapping[str, float]], dark: bool = False) -> str:
    """Draw losses and validation metrics over the epochs, side by side.

    Args:
        history: One row per epoch: `epoch`, losses as `train/…`, metrics as `val/…`; a row may lack a value.
        dark: Draw for a dark page.

    Returns:
        The picture as SVG text.

    Raises:
        ValueError: The history holds nothing to draw.
    """
    theme = DARK if dark else LIGHT
    names = list(dict.fromkeys(name for row in history for name in row))
    validation = [name for name in METRIC_NAMES if f"val/{name}" in names]
    errors = [f"val/{name}" for name in validation if lower_is_better(name)]
    scores = [f"val/{name}" for name in validation if not lower_is_better(name)][:_MAX_LINES]
    losses = [n for n in names if n == "val/loss" or (n.startswith("train/") and not n.endswith(_NOT_A_LOSS))]
    losses.sort(key=lambda name: not name.endswith("/loss"))
    panels = [
        (title, lines)
        for title, lines in (
            ("Loss", losses[:_MAX_LINES]),
            ("Validation scores (higher is better)", scores),
            ("Validation error (lower is better)", errors),
        )
        if lines
    ]
    if not panels:
        raise ValueError(f"history has nothing to draw among {names}: name losses train/… and metrics val/…")
    figure, all_axes = new_figure(theme, len(panels), (4.3 * max(len(panels), 1.4), 3.5))
    for axes, (title, lines) in zip(all_axes, panels, strict=True):
        for index, name in enumerate(lines):
            points = [
                (row.get("epoch", i + 1), row[name]) for i, row in enumerate(history) if row.get(name) is not None
            ]
            epochs, values = np.array(points, float).T
            axes.plot(
                epochs,
                values,
                color=theme.colours[index],
                linewidth=2.4 if index == 0 else 1.6,
                marker="o" if len(points) <= 30 else None,
                markersize=3.5,
                label=name.removeprefix("val/") if title != "Loss" else name,
            )
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=theme.ink, pad=10)
        axes.set_xlabel("Epoch")
        whole_ticks(axes)
        axes.ticklabel_format(axis="y", style="plain", useOffset=False)
        axes.margins(x=0.03, y=0.08)
        add_legend(axes, theme, "best")
    return svg_text(figure)


def _lines(curves: Mapping[str, Curve], theme: Theme) -> Iterator[tuple[str, str, Curve]]:
    """Give each curve with its colour, and its label as matplotlib shows it literally."""
    for (label, curve), colour in zip(curves.items(), cycle(theme.colours), strict=False):
        yield colour, label.replace("$", r"\$"), curve  # a pair of dollar signs would be read as a formula


def _draw_equal_f(axes: Axes, theme: Theme) -> None:
    for f_value in (0.5, 0.6, 0.7, 0.8, 0.9):
        lowest_recall = F_BETA2 * f_value / (1 + F_BETA2 - f_value)  # where precision would have to be 1
        recall = np.linspace(lowest_recall, 1, 200)
        precision = f_value * recall / ((1 + F_BETA2) * recall - F_BETA2 * f_value)
        axes.plot(recall, precision, color=theme.muted, linewidth=0.8, linestyle=(0, (2, 3)))
        axes.annotate(
            f"F {f_value:.1f}", (1, precision[-1]), xytext=(6, 0), textcoords="offset points", va="center",
            fontsize=9, color=theme.muted, annotation_clip=False,
        )  # fmt: skip
