"""What a library holds, counted: photos by what became of them and by kind, and charts of the share in focus."""

from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa

from dbd_ray.evaluation.thumbnails import data_uri
from dbd_ray.library.gallery_charts import (
    Spread,
    histogram_chart,
    in_dark,
    spread_by_aperture,
    spread_by_lens,
    spread_by_time,
    spread_chart,
)
from dbd_ray.readable import readable

KIND_WORDS = {
    "all_in_focus": "All in focus",
    "partial": "Partly in focus",
    "none_in_focus": "Nothing in focus",
}
STATUS_WORDS = {"ok": "Looked at", "error": "Failed", "skipped": "Skipped"}


@dataclass(frozen=True)
class Count:
    """A number of photos, with the address in the gallery that shows them."""

    label: str
    count: int
    share: float
    link: str


@dataclass(frozen=True)
class Chart:
    """A chart as data: URIs for light and dark pages, with what it shows in words."""

    title: str
    remark: str
    light: str
    dark: str
    numbers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Summary:
    """The content of the summary page."""

    files: int
    photos: int
    median_share: float | None
    statuses: tuple[Count, ...]
    kinds: tuple[Count, ...]
    charts: tuple[Chart, ...]


def summarize(table: pa.Table) -> Summary:
    """Count a library's rows and draw its charts; a chart without anything to show is left out."""
    pairs = Counter(zip(table["status"].to_pylist(), table["reason"].to_pylist(), strict=True))
    order = list(STATUS_WORDS)
    statuses = [
        _count(_status_label(status, reason), count, table.num_rows, status=_status_value(status, reason))
        for (status, reason), count in sorted(
            pairs.items(), key=lambda item: (order.index(item[0][0]) if item[0][0] in order else 9, -item[1], str(item))
        )
    ]
    share = table["in_focus_fraction"].to_numpy().astype(np.float64)
    known = np.isfinite(share) & (np.array(table["status"].to_pylist(), object) == "ok")
    of_kind = Counter(kind for kind in table["focus_kind"].to_pylist() if kind is not None)
    kinds = [
        _count(KIND_WORDS.get(kind, readable(kind, 60)), of_kind[kind], of_kind.total(), kind=kind)
        for kind in sorted(of_kind, key=lambda kind: (list(KIND_WORDS).index(kind) if kind in KIND_WORDS else 9, kind))
    ]
    return Summary(
        files=table.num_rows,
        photos=int(np.sum(known)),
        median_share=float(np.median(share[known])) if known.any() else None,
        statuses=tuple(statuses),
        kinds=tuple(kinds),
        charts=tuple(_charts(table.filter(pa.array(known)), share[known])) if known.any() else (),
    )


def _charts(table: pa.Table, share: np.ndarray) -> list[Chart]:
    counts, _ = np.histogram(share.clip(0, 1), 20, (0, 1))
    charts = [
        Chart(
            "How much is in focus",
            "Photos by the share of their area that is in focus.",
            *_uris(histogram_chart(counts)),
            tuple((f"{5 * place} to {5 * place + 5} %", f"{count:,} photos") for place, count in enumerate(counts)),
        )
    ]
    middle = "The dot is the median, the bar the middle half of the photos."
    spreads = (
        (
            "Over time",
            "Median share in focus; the band is the middle half of the photos.",
            spread_by_time(table, share),
        ),
        ("By aperture", f"{middle} Apertures are rounded to full stops.", spread_by_aperture(table, share)),
        ("By lens", f"{middle} The lenses with the most photos.", spread_by_lens(table, share)),
    )
    for title, remark, spread in spreads:
        if spread.labels:
            charts.append(Chart(title, remark, *_uris(spread_chart(spread)), _numbers(spread)))
    return charts


def _numbers(spread: Spread) -> tuple[tuple[str, str], ...]:
    rows = zip(spread.labels, spread.medians, spread.counts, strict=True)
    return tuple((label, f"{100 * median:.0f} % of {count:,} photos") for label, median, count in rows)


def _count(label: str, count: int, total: int, **query: str) -> Count:
    return Count(label, count, count / max(1, total), f"index.html#{urlencode(query)}")


def _status_label(status: str, reason: str | None) -> str:
    word = STATUS_WORDS.get(status, readable(status, 60))
    return f"{word}: {readable(reason, 60).replace('_', ' ')}" if reason else word


def _status_value(status: str, reason: str | None) -> str:
    return f"{status}:{reason}" if reason else status


def _uris(svg: str) -> tuple[str, str]:
    light, dark = (data_uri(text.encode(), "image/svg+xml") for text in (svg, in_dark(svg)))
    return light, dark
