"""The report of a teaching run: counts, rates and shares of the time, beside the depths and in MLflow."""

import json
import logging
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from dbd_ray.images.encode import encode_photo
from dbd_ray.storage import as_uri, replace_bytes
from dbd_ray.teaching.contact_sheet import contact_sheet
from dbd_ray.teaching.sources import Source
from dbd_ray.teaching.store import Committed, Key
from dbd_ray.tracking.runs import RunLog, attempt

SHEET_FILE, REPORT_FILE, STATS_FILE = "contact-sheet.png", "summary.json", "stats.txt"


@dataclass
class Tally:
    """Counts of a run that is going on.

    Attributes:
        asked: Keys of the photos to teach.
        pending: Keys of those that no earlier run has done.
        kept: Number of further rows, which keep their true depth.
        seconds: Wall-clock time from the first task to the last commit.
        done: Number of photos committed in this run.
        failed: Number of photos without a depth in this run, by reason.
        actors: Number of photos and seconds of prediction by actor.
        spent: Working time by step, s, summed over all processes.
    """

    asked: set[Key]
    pending: set[Key]
    kept: int
    seconds: float = 0.0
    done: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    actors: dict[str, tuple[int, float]] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)

    def add(self, rows: pa.Table) -> None:
        """Count committed rows, see `commit_depths.DONE_SCHEMA`."""
        for row in rows.to_pylist():
            self.done += 1
            if row["reason"]:
                self.failed[row["reason"]] += 1
            elif row["actor"]:
                photos, seconds = self.actors.get(row["actor"], (0, 0.0))
                self.actors[row["actor"]] = photos + 1, seconds + (row["predict_s"] or 0.0)
            for step in ("decode", "predict", "write"):
                self.spent[step] = self.spent.get(step, 0.0) + (row[f"{step}_s"] or 0.0)


@dataclass(frozen=True)
class TeachReport:
    """The result of a teaching run.

    Attributes:
        teacher: name@fingerprint.
        folder: Folder of its depths, with the contact sheet, this report (`summary.json`) and Ray Data's `stats.txt`.
        ok: Number of photos with a depth from this or an earlier run.
        skipped: Number of photos that earlier runs had done.
        kept: Number of further rows, which keep their true depth.
        errors: Number of photos without a depth after this and earlier runs, by reason.
        failures: Message by id for the first 20 of these photos.
        seconds: Wall-clock time of this run's pipeline.
        photos_per_s: Photos that this run gave a depth, per second.
        actors: Number of photos, and photos/s of prediction, by actor.
        time_shares: Share of the processes' working time by step: decode, predict, write.
        run_id: ID of the MLflow run.
    """

    teacher: str
    folder: str
    ok: int
    skipped: int
    kept: int
    errors: dict[str, int]
    failures: dict[str, str]
    seconds: float
    photos_per_s: float
    actors: dict[str, tuple[int, float]]
    time_shares: dict[str, float]
    run_id: str


def publish_report(
    log: RunLog, source: Source, teacher: str, folder: str, after: Committed, tally: Tally, stats: str
) -> TeachReport:
    """Make the report, and write it with the contact sheet beside the depths and into MLflow.

    A run that had nothing left to do writes its figures into MLflow, and no files.

    Args:
        log: The run in MLflow; this call finishes it.
        source: The photos.
        teacher: name@fingerprint.
        folder: The teacher's folder of depths.
        after: Photos that have a depth or a failure in that folder after the run.
        tally: Counts of the run.
        stats: Text of Ray Data's `Dataset.stats()`; empty if nothing was left to do.
    """
    failed = {key: why for key, why in after.failed.items() if key in tally.asked}
    spent = sum(tally.spent.values())
    report = TeachReport(
        teacher=teacher,
        folder=folder,
        ok=len(tally.asked & after.files.keys()),
        skipped=len(tally.asked - tally.pending),
        kept=tally.kept,
        errors=dict(Counter(reason for reason, _ in failed.values())),
        failures={id: detail for (id, _), (_, detail) in sorted(failed.items())[:20]},
        seconds=tally.seconds,
        photos_per_s=(tally.done - tally.failed.total()) / tally.seconds if tally.seconds else 0.0,
        actors={
            name: (photos, photos / seconds if seconds else 0.0)
            for name, (photos, seconds) in sorted(tally.actors.items())
        },
        time_shares={step: seconds / spent for step, seconds in tally.spent.items()} if spent else {},
        run_id=log.run_id,
    )
    files: dict[str, bytes] = {}
    if tally.pending:
        files = {REPORT_FILE: json.dumps(vars(report), indent=2).encode(), STATS_FILE: stats.encode()}
        files[SHEET_FILE] = encode_photo(contact_sheet(source, folder, after), format="png")
    for name, content in files.items():
        replace_bytes(f"{folder}/{name}", content)
    attempt(lambda: _record(log, report, files), logging.getLogger(__name__).warning)  # the depths are there
    return report


def _record(log: RunLog, report: TeachReport, files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as copies:
        for name, content in files.items():
            (Path(copies) / name).write_bytes(content)
        log.files(Path(copies))
    log.metrics(_figures(report))
    log.tags({"depth_teacher": report.teacher, "depths": as_uri(report.folder)})
    log.finish()


def _figures(report: TeachReport) -> dict[str, float]:
    figures: dict[str, Any] = {name: getattr(report, name) for name in ("ok", "skipped", "kept", "seconds")}
    figures |= {"photos_per_s": report.photos_per_s, "errors": sum(report.errors.values())}
    figures |= {f"errors/{reason}": count for reason, count in report.errors.items()}
    figures |= {f"time/{step}": share for step, share in report.time_shares.items()}
    figures |= {f"actor_{number}/photos_per_s": rate for number, (_, rate) in enumerate(report.actors.values())}
    return {name: float(value) for name, value in figures.items()}
