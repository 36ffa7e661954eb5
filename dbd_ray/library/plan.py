"""The plan of a run: which photos are looked at, and which rows of earlier runs stay as they are."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from dbd_ray.client.reading import PASSING_REASONS
from dbd_ray.library.scan import Found
from dbd_ray.library.schema import path_text

RETRIED = PASSING_REASONS | {"unreadable", "changed", "in_the_way", "crashed", "out_of_memory", "sidecar"}
"""Reasons that may be gone the next time, whose photos are looked at again by every run."""

_READ = ("path_bytes", "size", "mtime_ns", "content_hash", "status", "reason", "focus_model", "parameters")


class Plan(NamedTuple):
    """What a run has to do.

    Attributes:
        kept: Numbers of the rows in the table of earlier runs that stay as they are.
        pending: Photos to look at.
        others: Files that are no photos, or cannot be.
    """

    kept: list[int]
    pending: list[Found]
    others: list[Found]


class Before:
    """The rows of earlier runs.

    Args:
        rows: Those of parts in front of those of the whole table: the first row of a path counts.
        model: name@fingerprint of this run's model.
        parameters: Digest of this run's settings.
        retry_errors: Every photo that failed is looked at again.
    """

    def __init__(self, rows: pa.Table, *, model: str, parameters: str, retry_errors: bool = False) -> None:
        self.rows = rows
        columns = [rows[name].to_pylist() for name in _READ]
        self._hashes, self._statuses = columns[_READ.index("content_hash")], columns[_READ.index("status")]
        self._lefts = rows["sharp_left"].to_pylist()
        self._row_of: dict[bytes, int] = {}
        self._stands: dict[int, tuple[int | None, int | None]] = {}
        self.same: dict[str, int] = {}  # a row that is ok by its content
        for number, row in enumerate(zip(*columns, strict=True)):
            path, size, mtime_ns, content_hash, status, reason, made_by, settings = row
            if path in self._row_of:
                continue
            self._row_of[path] = number
            if settings != parameters or status == "skipped" or (made_by or model) != model:
                continue
            if status == "ok":
                self.same.setdefault(content_hash, number)
            elif retry_errors or reason in RETRIED:
                continue
            self._stands[number] = (size, mtime_ns)

    def row_of(self, found: Found) -> int | None:
        """Give the number of the row that still says what is true of a photo; None where it has to be looked at."""
        number = self._row_of.get(found.path)
        stands = self._stands.get(number) if number is not None else None
        return number if stands == (found.size, found.mtime_ns) and found.mtime_ns is not None else None

    def is_ok(self, number: int) -> bool:
        """Tell whether a row is of a photo that has results."""
        return bool(self._statuses[number] == "ok")

    def result_of(self, number: int) -> dict[str, Any]:
        """Give `content_hash` and `sharp_left` of a row."""
        return {"content_hash": self._hashes[number], "sharp_left": self._lefts[number]}

    def sizes(self) -> set[int]:
        """Give the sizes of photos whose content is known."""
        all_sizes = self.rows["size"].to_pylist()
        return {all_sizes[number] for number in self.same.values()}


def make_plan(
    files: Collection[Found], before: Before, lacks: Callable[[bytes, dict[str, Any]], bool] = lambda path, row: False
) -> Plan:
    """Compare what a scan found with what earlier runs did.

    Args:
        files: From the scan.
        before: The rows of earlier runs.
        lacks: Tells of a path and `content_hash` and `sharp_left` of its row whether results are not there any more.
    """
    plan = Plan([], [], [])
    for found in files:
        if found.status != "photo":
            plan.others.append(found)
        elif (number := before.row_of(found)) is not None and not (
            before.is_ok(number) and lacks(found.path, before.result_of(number))
        ):
            plan.kept.append(number)
        else:
            plan.pending.append(found)
    return plan


def may_be_equal(pending: Collection[Found], known_sizes: Collection[int]) -> list[Found]:
    """Choose the photos that may have the content of another one, by their size."""
    counts = Counter(found.size for found in pending)
    return [found for found in pending if counts[found.size] > 1 or found.size in known_sizes]


def grouped(pending: Collection[Found], hashes: Mapping[bytes, str]) -> list[list[Found]]:
    """Put photos of the same content together; those without a hash are alone. The order is that of the first."""
    groups: dict[str | bytes, list[Found]] = defaultdict(list)
    for found in pending:
        groups[hashes.get(found.path) or found.path].append(found)
    return list(groups.values())


def rows_of_others(files: Collection[Found], uri: str, parameters: str) -> list[dict[str, Any]]:
    """Make the table's rows of files that are not looked at."""
    return [
        {
            "path": path_text(found.path),
            "path_bytes": found.path,
            "uri": uri,
            "size": found.size,
            "mtime_ns": found.mtime_ns,
            "status": found.status,
            "reason": found.reason,
            "message": found.message,
            "parameters": parameters,
        }
        for found in files
    ]
