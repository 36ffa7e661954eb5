"""Near-duplicate bursts in the table of a photo library: which photos show the same, the sharpest subject first."""

import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dbd_ray.library.schema import PAIR_REASON

Indices = NDArray[np.int64]
Links = list[tuple[Indices, Indices]]

# photos that may lie between two of one burst: two cameras of one model interleave, and so do photos of one second,
# which stand in the order of their names. A clock that stands still must not make this quadratic
MOST_BETWEEN = 256
_BITS = 64
_BETWEEN_COPIES = 512  # photos; copying what is left for each of them takes most of the time
_LONGEST_S = 1e12  # 30,000 years, far from what 64 bits of milliseconds hold


def cull_page(
    table: pa.Table, *, seconds: float = 3.0, distance: int = 10, without_time: bool = False
) -> list[list[int]]:
    """Find the bursts of a library.

    Two photos with a result belong to one burst if the same camera took them within `seconds` by its clock and their
    perceptual hashes differ in at most `distance` of 64 bits, or if their content is the same. What lies between
    belongs to it as well, so that a burst may last longer. A RAW file and the JPEG of the same name are one shot, and
    no burst without another one.

    Args:
        table: As `read_library` gives it.
        seconds: Between two photos of a burst.
        distance: Most bits in which their hashes differ.
        without_time: Compare photos without a time by their hashes alone. Each then looks like the first of its burst;
            pictures without any structure are left out.

    Returns:
        Row indices of each burst, the sharpest subject first (`sharpness`, then `in_focus_fraction`, then the path;
        rows of one shot stand together), the bursts by the time of their first photo.
    """
    rows = _distinct_rows(table)
    rank = _rank(table)
    hashes, hashed = _hashes(table)
    times, timed = _times(table)
    names = _shot_names(table)
    links = [*_same_content(table, rows), *_same_shot(names, rows)]
    links += _close_in_time(
        rows[(timed & hashed)[rows]],
        table,
        times,
        hashes,
        rank,
        window_ms=round(min(seconds, _LONGEST_S) * 1000),
        distance=distance,
    )
    if without_time:
        links += _alike(rows[(~timed & hashed)[rows]], hashes, rank, distance=distance)
    bursts = [_by_shot(names, group) for group in _groups(links, rank, len(table))]
    beside = _beside_photos(table, names)
    several = [shots for shots in bursts if len(shots) > 1]
    found = [[row for shot in shots for row in (*shot, *beside.get(names[shot[0]], ()))] for shots in several]
    last = np.iinfo(np.int64).max
    return sorted(
        found, key=lambda burst: (min(int(times[row]) if timed[row] else last for row in burst), rank[burst[0]])
    )


def beyond_best(table: pa.Table, bursts: Sequence[Sequence[int]], *, keep: int = 1) -> list[int]:
    """Give the rows of every burst but its best: what one might reject.

    Args:
        table: The table that the bursts were found in.
        bursts: As `cull_page` gives them.
        keep: How many shots of each burst are left out, the best ones.
    """
    names = _shot_names(table)
    return [row for burst in bursts for shot in _by_shot(names, burst)[keep:] for row in shot]


def several_shots(table: pa.Table, bursts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Keep the bursts of at least two shots, after some of their rows were left out."""
    names = _shot_names(table)
    return [list(burst) for burst in bursts if len(_by_shot(names, burst)) > 1]


def _distinct_rows(table: pa.Table) -> Indices:
    # one file that was scanned below two folders is no duplicate of itself
    first: dict[bytes, int] = {}
    columns = (table[name].to_pylist() for name in ("uri", "path_bytes", "status"))
    for row, (uri, path, status) in enumerate(zip(*columns, strict=True)):
        if status == "ok":
            first.setdefault(uri.rstrip("/").encode() + b"/" + path, row)
    return np.array(list(first.values()), np.int64)


def _rank(table: pa.Table) -> Indices:
    """Place of every row in the order of quality, the best being 0."""
    paths = list(zip(table["uri"].to_pylist(), table["path_bytes"].to_pylist(), strict=True))
    by_path = np.empty(len(table), np.int64)
    by_path[sorted(range(len(table)), key=paths.__getitem__)] = np.arange(len(table))
    measures = [_number(table, name) for name in ("in_focus_fraction", "sharpness")]
    rank = np.empty(len(table), np.int64)
    rank[np.lexsort((by_path, *(-measure for measure in measures)))] = np.arange(len(table))
    return rank


def _number(table: pa.Table, name: str) -> NDArray[np.float64]:
    values = table[name].to_numpy(zero_copy_only=False).astype(np.float64)
    return np.where(np.isnan(values), -np.inf, values)  # what nobody measured is not the best


def _hashes(table: pa.Table) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    right = pc.fill_null(pc.match_substring_regex(table["perceptual_hash"], "^[0-9a-fA-F]{16}$"), False)
    texts = pc.if_else(right, table["perceptual_hash"], "0" * 16).to_pylist()
    numbers = np.frombuffer(bytes.fromhex("".join(texts)), ">u8").astype(np.uint64)
    return numbers, right.to_numpy(zero_copy_only=False).astype(bool)


def _times(table: pa.Table) -> tuple[Indices, NDArray[np.bool_]]:
    timed = pc.is_valid(table["taken_at"]).to_numpy(zero_copy_only=False).astype(bool)
    milliseconds = pc.fill_null(table["taken_at"].cast(pa.int64()), 0)
    return milliseconds.to_numpy(zero_copy_only=False).astype(np.int64), timed


def _codes(column: pa.ChunkedArray) -> Indices:
    encoded = column.combine_chunks().dictionary_encode()
    return pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False).astype(np.int64)


def _same_content(table: pa.Table, rows: Indices) -> Links:
    codes = _codes(table["content_hash"])[rows]
    rows = rows[np.argsort(codes, kind="stable")]
    codes = np.sort(codes)
    same = np.flatnonzero((codes[1:] == codes[:-1]) & (codes[1:] >= 0))
    return [(rows[same], rows[same + 1])]


def _same_shot(names: Sequence[tuple[str, bytes]], rows: Indices) -> Links:
    last: dict[tuple[str, bytes], int] = {}
    pairs = []
    for row in rows.tolist():
        if names[row] in last:
            pairs.append((last[names[row]], row))
        last[names[row]] = row
    one, other = np.array(pairs, np.int64).reshape(-1, 2).T
    return [(one, other)]


def _beside_photos(table: pa.Table, names: Sequence[tuple[str, bytes]]) -> dict[tuple[str, bytes], list[int]]:
    """Give photos without a result by the name of their shot: they go where the shot goes."""
    beside: dict[tuple[str, bytes], list[int]] = {}
    columns = (table[name].to_pylist() for name in ("status", "reason"))
    for row, (status, reason) in enumerate(zip(*columns, strict=True)):
        if status == "error" or reason == PAIR_REASON:
            beside.setdefault(names[row], []).append(row)
    return beside


def _close_in_time(
    rows: Indices,
    table: pa.Table,
    times: Indices,
    hashes: NDArray[np.uint64],
    rank: Indices,
    *,
    window_ms: int,
    distance: int,
) -> Links:
    cameras = _codes(table["camera"])
    rows = rows[np.lexsort((rank[rows], times[rows], cameras[rows]))]
    links: Links = []
    places = np.arange(len(rows))
    for step in range(1, MOST_BETWEEN + 1):
        places = places[places + step < len(rows)]
        one, other = rows[places], rows[places + step]
        close = (cameras[one] == cameras[other]) & (times[other] - times[one] <= window_ms)
        places, one, other = places[close], one[close], other[close]
        if not len(places):
            break
        alike = np.bitwise_count(hashes[one] ^ hashes[other]) <= distance
        links.append((one[alike], other[alike]))
    return links


def _alike(rows: Indices, hashes: NDArray[np.uint64], rank: Indices, *, distance: int) -> Links:
    bits = np.bitwise_count(hashes[rows])
    rows = rows[(bits > 0) & (bits < _BITS)]  # flat pictures, white and black ones alike
    rows = rows[np.argsort(rank[rows])]
    looks = hashes[rows]
    links: Links = []
    # the best one takes all that look like it; chains would lead from one picture to quite another
    while len(rows):
        free = np.ones(len(rows), bool)
        for place in range(min(len(rows), _BETWEEN_COPIES)):
            if free[place]:
                after = slice(place + 1, None)
                alike = (np.bitwise_count(looks[after] ^ looks[place]) <= distance) & free[after]
                members = np.flatnonzero(alike) + place + 1
                free[members] = False
                links.append((np.full(len(members), rows[place]), rows[members]))
        free[:_BETWEEN_COPIES] = False
        rows, looks = rows[free], looks[free]
    return links


def _groups(links: Links, rank: Indices, count: int) -> list[list[int]]:
    one, other = (np.concatenate([pair[side] for pair in links]) for side in (0, 1))
    if not len(one):
        return []
    graph = coo_array((np.ones(len(one), bool), (one, other)), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    rows = np.unique(np.concatenate([one, other]))
    rows = rows[np.lexsort((rank[rows], labels[rows]))]
    ends = np.flatnonzero(np.diff(labels[rows])) + 1
    return [group.tolist() for group in np.split(rows, ends)]


def _shot_names(table: pa.Table) -> list[tuple[str, bytes]]:
    columns = (table[name].to_pylist() for name in ("uri", "path_bytes"))
    return [(uri, os.path.splitext(path)[0].lower()) for uri, path in zip(*columns, strict=True)]  # noqa: PTH122 - bytes


def _by_shot(names: Sequence[tuple[str, bytes]], burst: Sequence[int]) -> list[list[int]]:
    """Put files that differ in their suffix alone together, in the order of the burst."""
    shots: dict[tuple[str, bytes], list[int]] = {}
    for row in burst:
        shots.setdefault(names[row], []).append(row)
    return list(shots.values())
