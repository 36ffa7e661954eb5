"""Charts of a study: parallel coordinates of a search, and a metric against gamma."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from dbd_ray.config import Choice, Range, Space
from dbd_ray.evaluation.chart_style import LIGHT, add_legend, log_ticks, new_figure, svg_text
from dbd_ray.metrics import lower_is_better

GAMMA = "objective.depth_weight"
_MARKS = {"finished": "o", "stopped": "v"}


class Tried(Protocol):
    """The parts of a trial that are drawn; `ranking.RankedTrial` has them."""

    @property
    def status(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    @property
    def point(self) -> dict[str, Any]: ...


def parallel_chart(space: Space, trials: Sequence[Tried], metric: str) -> str:
    """Draw every trial as a line over one axis per setting, the metric last; better ones are darker and on top.

    Args:
        space: The domain of each setting that was searched.
        trials: The trials, in any order; those without a value are left out.
        metric: Name of their value.

    Returns:
        The picture as SVG text.
    """
    drawn = [trial for trial in trials if trial.value is not None]
    values = np.array([trial.value for trial in drawn], float)
    lowest, highest = (values.min(), values.max()) if len(drawn) else (0.0, 1.0)
    span = (highest - lowest) or 1.0
    figure, (axes,) = new_figure(LIGHT, 1, (1.9 * (len(space) + 1) + 1, 4.4))
    shades = LinearSegmentedColormap.from_list("", [LIGHT.grid, LIGHT.colours[0]])
    goodness = (highest - values) / span if lower_is_better(metric) else (values - lowest) / span
    for index in np.argsort(goodness):
        trial = drawn[index]
        heights = [_height(domain, trial.point[name]) for name, domain in space.items()]
        axes.plot(
            range(len(space) + 1),
            [*heights, (values[index] - lowest) / span],
            color=shades(0.25 + 0.75 * float(goodness[index])),
            linewidth=2,
            linestyle="-" if trial.status == "finished" else (0, (3, 2)),
            marker=_MARKS.get(trial.status, "x"),
            markersize=5,
        )
    for place, domain in enumerate(space.values()):
        _name_ends(axes, place, [(_height(domain, end), end) for end in domain.ends()])
    _name_ends(axes, len(space), [(0.0, float(lowest)), (1.0, float(highest))])
    axes.set(xlim=(-0.3, len(space) + 0.6), ylim=(-0.06, 1.06), yticks=[])
    axes.set_xticks(range(len(space) + 1), [*space, metric])
    axes.set_title("dashed: stopped early or failed", loc="left", fontsize=9.5, color=LIGHT.muted)
    return svg_text(figure)


def gamma_chart(domain: Range | Choice, trials: Sequence[Tried], metric: str) -> str:
    """Draw the metric of every trial of a search against its gamma.

    Args:
        domain: The domain of gamma, drawn on a logarithmic axis where it is searched so.
        trials: The trials, in any order; those without a value are left out.
        metric: Name of their value.

    Returns:
        The picture as SVG text.
    """
    figure, (axes,) = new_figure(LIGHT, 1, (6.4, 4))
    for colour, (status, mark) in zip(LIGHT.colours, _MARKS.items(), strict=False):
        chosen = [(trial.point[GAMMA], trial.value) for trial in trials if trial.status == status]
        known = [(gamma, value) for gamma, value in chosen if value is not None]
        axes.plot(
            [gamma for gamma, _ in known],
            [value for _, value in known],
            mark,
            color=colour,
            markersize=7,
            label="full trial" if status == "finished" else "stopped early",
        )
    if isinstance(domain, Choice):
        log_ticks(axes, domain.values)
    elif domain.log:
        log_ticks(axes)
    _finish_gamma(axes, metric)
    return svg_text(figure)


def gamma_grid_chart(values: Mapping[float, Sequence[float]], metric: str) -> str:
    """Draw mean and spread of a metric over the seeds of each gamma.

    Args:
        values: One value per seed by gamma; a gamma whose runs all failed has none.
        metric: Name of the value.

    Returns:
        The picture as SVG text.
    """
    figure, (axes,) = new_figure(LIGHT, 1, (6.4, 4))
    known = {gamma: list(each) for gamma, each in sorted(values.items()) if each}
    means = [float(np.mean(each)) for each in known.values()]
    axes.plot(list(known), means, "o-", color=LIGHT.colours[0], linewidth=2, markersize=7, label="mean")
    for gamma, each in known.items():
        axes.plot([gamma] * len(each), each, ".", color=LIGHT.colours[1], markersize=6)
    axes.plot([], [], ".", color=LIGHT.colours[1], markersize=6, label="one seed")
    log_ticks(axes, list(known))
    _finish_gamma(axes, metric)
    return svg_text(figure)


def _finish_gamma(axes: Axes, metric: str) -> None:
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    axes.set(xlabel="γ, the weight of the depth loss", ylabel=metric)
    add_legend(axes, LIGHT, "best")


def _height(domain: Range | Choice, value: Any) -> float:
    if isinstance(domain, Choice):
        return domain.values.index(value) / (len(domain.values) - 1)
    low, high, at = np.log((domain.low, domain.high, value)) if domain.log else (domain.low, domain.high, value)
    return float((at - low) / (high - low))


def _name_ends(axes: Axes, place: int, ends: Sequence[tuple[float, Any]]) -> None:
    axes.axvline(place, color=LIGHT.muted, linewidth=0.9, zorder=0)
    for height, end in ends:
        text = f"{end:.3g}" if isinstance(end, float) else str(end)
        axes.annotate(
            text, (place, height), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9, color=LIGHT.ink
        )
