"""Style of charts: SVG that is readable in light and dark and by colour-blind people."""

import io
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

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


def svg_text(figure: Figure) -> str:
    """Render a figure as SVG; equal figures give equal texts."""
    text = io.StringIO()
    # labels stay text (small, searchable, in the page's font); the fixed salt makes equal charts equal files
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "dbd_ray", "font.sans-serif": _FONTS}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
