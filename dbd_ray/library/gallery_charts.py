"""Charts of the share in focus in a library, as SVG in the gallery's colours."""

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dbd_ray.evaluation.chart_style import Theme, new_figure, svg_text
from dbd_ray.readable import readable

# the surfaces, inks and accents of web/gallery.css
_LIGHT = Theme("#ffffff", "#1a1a19", "#5c5c59", "#e4e4e1", ("#b4430b",))
_DARK = Theme("#1f1f1f", "#f0f0ee", "#a5a5a1", "#353535", ("#ff8a4c",))
_MOST_LENSES = 12
_LENS_LETTERS = 32
_FULL_STOPS = np.array([0.7, 1, 1.4, 2, 2.8, 4, 5.6, 8, 11, 16, 22, 32, 45, 64])
_STOP_NUMBERS = np.arange(-1, 13)  # of `_FULL_STOPS`: 2 log2 of the exact f-number
_DAY_S = 86400


class Spread(NamedTuple):
    """Shares in focus of groups of photos: median, quartiles and number of photos of each group."""

    labels: tuple[str, ...]
    low: tuple[float, ...]
    medians: tuple[float, ...]
    high: tuple[float, ...]
    counts: tuple[int, ...]
    shape: Literal["line", "columns", "rows"]


def histogram_chart(counts: np.ndarray) -> str:
    """Draw how many photos have which share in focus; `counts` are of equal steps from 0 to 1."""
    figure, (axes,) = new_figure(_LIGHT, 1, (5.6, 2.9))
    edges = np.linspace(0, 1, len(counts) + 1)
    axes.bar(edges[:-1], counts, 0.92 / len(counts), align="edge", color=_LIGHT.colours[0])
    axes.grid(visible=False, axis="x")
    axes.set(xlim=(0, 1), xlabel="Share in focus", ylabel="Photos")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    return _svg(figure)


def spread_chart(spread: Spread) -> str:
    """Draw the median and the middle half of each group: a line with a band, or a dot with a bar."""
    places = np.arange(len(spread.labels))
    if spread.shape == "rows":
        figure, (axes,) = new_figure(_LIGHT, 1, (5.6, 0.9 + 0.34 * len(places)))
        _draw_rows(axes, spread, places)
    else:
        figure, (axes,) = new_figure(_LIGHT, 1, (5.6, 2.9))
        if spread.shape == "line":
            axes.fill_between(places, spread.low, spread.high, color=_LIGHT.colours[0], alpha=0.22, linewidth=0)
            axes.plot(places, spread.medians, color=_LIGHT.colours[0], linewidth=2.2)
        else:
            axes.vlines(places, spread.low, spread.high, color=_LIGHT.colours[0], alpha=0.4, linewidth=7)
        if spread.shape == "columns" or len(places) <= 40:
            axes.plot(places, spread.medians, "o", color=_LIGHT.colours[0], markersize=6)
        shown = places[:: max(1, -(-len(places) // 6))] if spread.shape == "line" else places
        axes.set_xticks(shown, [_plain(spread.labels[place]) for place in shown])
        axes.set(xlim=(-0.6, len(places) - 0.4), ylim=(0, 1.01), ylabel="Share in focus")
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return _svg(figure)


def in_dark(svg: str) -> str:
    """Give a chart of this module in the colours for dark pages, without drawing it again, which takes a second."""
    dark = {getattr(_LIGHT, name): getattr(_DARK, name) for name in ("surface", "ink", "muted", "grid")}
    dark |= dict(zip(_LIGHT.colours, _DARK.colours, strict=True))
    return re.sub("#[0-9a-f]{6}", lambda colour: dark.get(colour[0], colour[0]), svg)


def spread_by_time(table: pa.Table, share: np.ndarray) -> Spread:
    """Group by the time of taking: days, months or years, whichever gives a readable number of groups."""
    column = table["taken_at"].combine_chunks()
    known = np.asarray(column.is_valid())
    times = np.asarray(column.fill_null(0).cast(pa.int64())).astype("datetime64[ms]")[known]
    unit = "D"
    if len(times):
        seconds = (times.max() - times.min()) / np.timedelta64(1, "s")
        unit = "D" if seconds <= 62 * _DAY_S else "M" if seconds <= 12 * 366 * _DAY_S else "Y"
    return _spread([str(time) for time in times.astype(f"datetime64[{unit}]")], share[known], None, "line")


def spread_by_aperture(table: pa.Table, share: np.ndarray) -> Spread:
    """Group by f-number, each rounded to the nearest full stop."""
    numbers = np.asarray(table["f_number"].to_numpy(), np.float64)
    known = np.isfinite(numbers) & (numbers > 0)
    stops = np.rint(2 * np.log2(numbers[known])).clip(_STOP_NUMBERS[0], _STOP_NUMBERS[-1]).astype(int)
    labels = [f"f/{number:g}" for number in _FULL_STOPS]
    return _spread([labels[stop - _STOP_NUMBERS[0]] for stop in stops], share[known], labels, "columns")


def spread_by_lens(table: pa.Table, share: np.ndarray) -> Spread:
    """Group by lens, the ones with the most photos first; the rest is left out."""
    lenses = table["lens"].to_pylist()
    counts = Counter(lens for lens in lenses if lens)
    most = sorted(counts, key=lambda lens: (-counts[lens], lens))[:_MOST_LENSES]
    chosen = np.array([lens in most for lens in lenses], bool)
    spread = _spread([lens for lens in lenses if lens in most], share[chosen], most, "rows")
    return spread._replace(labels=tuple(readable(lens, _LENS_LETTERS) for lens in spread.labels))


def _spread(
    groups: Sequence[str], share: np.ndarray, order: list[str] | None, shape: Literal["line", "columns", "rows"]
) -> Spread:
    different, place = np.unique(np.array(groups, object), return_inverse=True)
    labels = [label for label in order if label in set(different)] if order else list(different)
    where = {label: number for number, label in enumerate(different)}
    by_group = (
        np.split(share[np.argsort(place, kind="stable")], np.cumsum(np.bincount(place))[:-1]) if len(place) else []
    )
    quartiles = [np.percentile(by_group[where[label]], (25, 50, 75)) for label in labels]
    low, medians, high = ([float(each[at]) for each in quartiles] for at in range(3))
    counts = tuple(len(by_group[where[label]]) for label in labels)
    return Spread(tuple(labels), tuple(low), tuple(medians), tuple(high), counts, shape)


def _draw_rows(axes: Axes, spread: Spread, places: np.ndarray) -> None:
    axes.hlines(places, spread.low, spread.high, color=_LIGHT.colours[0], alpha=0.4, linewidth=7)
    axes.plot(spread.medians, places, "o", color=_LIGHT.colours[0], markersize=6)
    axes.set_yticks(places, [_plain(label) for label in spread.labels])
    axes.set(xlim=(0, 1), ylim=(len(places) - 0.4, -0.6), xlabel="Share in focus")
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _plain(label: str) -> str:
    return label.replace("$", r"\$")  # a pair of dollar signs would be read as a formula


def _svg(figure: Figure) -> str:
    with warnings.catch_warnings():
        # names in scripts that the measuring font lacks: the page's fonts draw them
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        return svg_text(figure)
