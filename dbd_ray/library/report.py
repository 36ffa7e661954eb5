"""The report of an annotation run: counts and rates, also in MLflow."""

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from dbd_ray.library.schema import TABLE
from dbd_ray.tracking.runs import RunLog

_MOST_FAILURES = 20


@dataclass
class AnnotateReport:
    """The result of a run.

    Attributes:
        out: Folder of the results.
        model: name@fingerprint.
        counts: Number of files by status, or by "status: reason".
        looked_at: Photos that this run looked at.
        kept: Photos of earlier runs that did not change.
        reused: Photos whose content was known under another name.
        failures: Message by path, of the first 20 photos that failed.
        seconds: Wall-clock time of the pipeline, its start included.
        photos_per_s: Photos with results per second, from the first commit on; 0 where that was the only one.
        run_id: Id of the MLflow run; empty for a plan.
    """

    out: str
    model: str
    counts: dict[str, int] = field(default_factory=dict)
    looked_at: int = 0
    kept: int = 0
    reused: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    photos_per_s: float = 0.0
    run_id: str = ""


def count_rows(table: pa.Table) -> dict[str, int]:
    """Count rows by "status", or "status: reason" where there is one."""
    pairs = zip(table["status"].to_pylist(), table["reason"].to_pylist(), strict=True)
    return dict(sorted(Counter(f"{status}: {reason}" if reason else status for status, reason in pairs).items()))


def failures_in(table: pa.Table) -> dict[str, str]:
    """Give the messages of the first photos that failed, by path."""
    failed = table.filter(pc.equal(table["status"], "error")).slice(0, _MOST_FAILURES)
    return dict(zip(failed["path"].to_pylist(), failed["message"].to_pylist(), strict=True))


def record(log: RunLog, report: AnnotateReport) -> None:
    """Write counts, rates and the model into an MLflow run, and finish that."""
    figures = {"looked_at": report.looked_at, "kept": report.kept, "reused": report.reused}
    rates = {"seconds": report.seconds, "photos_per_s": report.photos_per_s}
    counts = {f"files/{name.replace(': ', '/')}": float(count) for name, count in report.counts.items()}
    log.metrics({**{name: float(value) for name, value in figures.items()}, **rates, **counts})
    log.tags({"model": report.model, "library": f"{report.out}/{TABLE}"})
    log.finish()
