"""The near-duplicate bursts of a library as pages that need no script, the sharpest subject of each first."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dbd_ray.library.cull import cull_page
from dbd_ray.library.gallery_data import file_link
from dbd_ray.readable import readable

BURSTS_PER_PAGE = 200
_COLUMNS = ("uri", "path", "path_bytes", "content_hash", "in_focus_fraction", "sharpness")
_HASH = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Shot:
    """A photo of a burst; `thumbnail` is its small picture's path below the gallery without suffix, or empty."""

    path: str
    link: str | None
    thumbnail: str
    share: str
    sharpness: str


@dataclass(frozen=True)
class Burst:
    """Photos of one moment, the sharpest subject first."""

    taken: str
    camera: str
    shots: tuple[Shot, ...]


@dataclass(frozen=True)
class BurstsPage:
    """A part of a library's bursts.

    Attributes:
        name: File name of the page.
        bursts: Its bursts, by time.
        first: Number of the first one among all, from 1.
        total: Number of all bursts.
        photos: Number of photos in all bursts.
        earlier: File name of the page before it; None for the first one.
        later: File name of the page behind it; None for the last one.
    """

    name: str
    bursts: tuple[Burst, ...]
    first: int
    total: int
    photos: int
    earlier: str | None
    later: str | None


def bursts_name(number: int) -> str:
    """Name the page of this number, from 0."""
    return f"bursts-{number + 1}.html" if number else "bursts.html"


def bursts_pages(table: pa.Table) -> Iterator[BurstsPage]:
    """Give the pages of a library's bursts, as `dbd-ray cull` finds them without options; there is at least one."""
    found = cull_page(table)
    columns = {name: table[name].to_pylist() for name in (*_COLUMNS, "taken_at", "camera")}
    starts = range(0, max(1, len(found)), BURSTS_PER_PAGE)
    for number, start in enumerate(starts):
        yield BurstsPage(
            name=bursts_name(number),
            bursts=tuple(_burst(columns, rows) for rows in found[start : start + BURSTS_PER_PAGE]),
            first=start + 1,
            total=len(found),
            photos=sum(map(len, found)),
            earlier=bursts_name(number - 1) if number else None,
            later=bursts_name(number + 1) if number + 1 < len(starts) else None,
        )


def _burst(columns: dict[str, list[Any]], rows: Sequence[int]) -> Burst:
    times = [time for row in rows if (time := columns["taken_at"][row])]
    return Burst(
        taken=f"{min(times):%Y-%m-%d %H:%M:%S}" if times else "",
        camera=readable(columns["camera"][rows[0]] or "", 60),
        shots=tuple(_shot(*(columns[name][row] for name in _COLUMNS)) for row in rows),
    )


def _shot(
    uri: str, path: str, path_bytes: bytes, content_hash: str | None, share: float | None, sharpness: float | None
) -> Shot:
    pictured = content_hash is not None and _HASH.fullmatch(content_hash)
    return Shot(
        path=readable(path),
        link=file_link(uri, path_bytes),
        thumbnail=f"thumbs/{content_hash[:2]}/{content_hash}" if content_hash and pictured else "",
        share=f"{100 * share:.1f} % in focus" if share is not None and math.isfinite(share) else "",
        sharpness=f"sharpness {sharpness:.3g}" if sharpness is not None and math.isfinite(sharpness) else "",
    )
