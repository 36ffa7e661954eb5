"""Style of charts: SVG that is readable in light and dark and by colour-blind people."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

_FONTS = ["Inter", "Helvetica Neue", "Segoe UI", "Arial", "Liberation Sans", "DejaVu Sans"]


@dataclass(frozen=True)
class Theme:
    """Colours of a page, as #rrggbb."""

    surface: str
    ink: str
    muted: str
    grid: str
    colours: tuple[str, ...]


# Okabe and Ito's palette, which stays apart under every common colour blindness
LIGHT = Theme("#ffffff", "#1b2126", "#66717c", "#e3e7eb", ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#B8860B"))
DARK = Theme("#171b20", "#e8ecf0", "#98a3ae", "#2b3239", ("#56B4E9", "#FF9447", "#2FC79A", "#E08FC0", "#F0C945"))


def new_figure(theme: Theme, columns: int, size_inches: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """Make an empty figure with `columns` axes side by side, in the theme's colours."""
    figure = Figure(figsize=size_inches, layout=ConstrainedLayoutEngine(wspace=0.07), facecolor=theme.surface)
    all_axes: list[Axes] = list(figure.subplots(1, columns, squeeze=False)[0])
    for axes in all_axes:
        axes.set_facecolor(theme.surface)
        axes.grid(color=theme.grid, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(theme.muted)
        axes.tick_params(colors=theme.muted, length=0, labelsize=10, pad=6)
        axes.xaxis.label.set(color=theme.muted, fontsize=10.5)
        axes.yaxis.label.set(color=theme.muted, fontsize=10.5)
    return figure, all_axes


def add_legend(axes: Axes, theme: Theme, place: Any) -> None:
    """Add a legend of the labelled lines at one of matplotlib's `loc` places."""
    axes.legend(
        loc=place, fontsize=9.5, labelcolor=theme.ink, frameon=True, facecolor=theme.surface, edgecolor="none",
        framealpha=0.85,
    )  # fmt: skip


def whole_ticks(axes: Axes) -> None:
    """Put ticks at whole numbers of the horizontal axis alone, even where there is but one."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))


def log_ticks(axes: Axes, at: Sequence[float] = ()) -> None:
    """Make the horizontal axis logarithmic, its ticks plain numbers such as 0.05.

    Args:
        axes: The axes, with everything drawn.
        at: Values to put ticks at; none: powers of ten, and twice and five times these, or all multiples of these
            where the axis has less than one.
    """
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    between = LogLocator(subs=(1, 2, 5) if high >= 10 * low else range(1, 10), numticks=12)
    axes.xaxis.set_major_locator(FixedLocator(list(at)) if at else between)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, place: f"{value:.4g}")


def svg_text(figure: Figure) -> str:
    """Render a figure as SVG; equal figures give equal texts."""
    text = io.StringIO()
    # labels stay text (small, searchable, in the page's font); the fixed salt makes equal charts equal files
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "dbd_ray", "font.sans-serif": _FONTS}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
