"""What a teaching run did: counts, rates, where the time went, and a sheet of photo and depth pairs to look at."""

import json
import logging
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dbd_ray.errors import DatasetError, PhotoError
from dbd_ray.images.decode import decode_photo, photo_size
from dbd_ray.images.encode import decode_depth, encode_photo
from dbd_ray.storage import as_uri, read_bytes, replace_bytes
from dbd_ray.teaching.contact_sheet import contact_sheet
from dbd_ray.teaching.decode_photos import DEPTH_LONG_SIDE_PX, within
from dbd_ray.teaching.sources import Source, read_pictures
from dbd_ray.teaching.store import Committed, Key, read_depths
from dbd_ray.tracking.runs import RunLog, attempt

SHEET_PAIRS = 24
SHEET_FILE, SUMMARY_FILE, STATS_FILE = "contact-sheet.png", "summary.json", "stats.txt"


@dataclass
class Tally:
    """Counts a run while it goes on.

    Attributes:
        asked: Photos that were asked for.
        pending: Those that no earlier run had done.
        kept: Further rows, which have a true depth.
        seconds: From the first task to the last commit.
        failed: Photos without a depth in this run, by reason.
        actors: Photos and seconds of prediction by actor.
        spent: Seconds of all processes by step.
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
        """Count committed rows, see `committer.DONE_SCHEMA`."""
        for row in rows.to_pylist():
            self.done += 1
            if row["reason"]:
                self.failed[row["reason"]] += 1
            if row["actor"]:
                photos, seconds = self.actors.get(row["actor"], (0, 0.0))
                self.actors[row["actor"]] = photos + 1, seconds + (row["predict_s"] or 0.0)
            for step in ("decode", "predict", "write"):
                self.spent[step] = self.spent.get(step, 0.0) + (row[f"{step}_s"] or 0.0)


@dataclass(frozen=True)
class TeachReport:
    """The result of a teaching run.

    Attributes:
        teacher: name@fingerprint.
        folder: Where its depths are, with the contact sheet, `summary.json` and Ray Data's `stats.txt`.
        ok: Photos with a depth, of this and earlier runs.
        skipped: Photos that an earlier run had done.
        kept: Further rows, whose true depth was left as it is.
        errors: Photos without a depth by reason, of this and earlier runs.
        failures: Of the first of them: id and what was wrong.
        seconds: Of this run's pipeline.
        photos_per_s: Of this run.
        actors: Photos and photos/s of prediction by actor.
        time_shares: Share of the processes' working time by step: decode, predict, write.
        run_id: The MLflow run.
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
    """Write contact sheet and summary beside the depths and into MLflow; without new photos, into MLflow alone.

    Args:
        log: The run in MLflow; it is finished here.
        source: The photos.
        teacher: name@fingerprint.
        folder: Where its depths are.
        after: What that folder holds now.
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
        photos_per_s=tally.done / tally.seconds if tally.seconds else 0.0,
        actors={
            name: (photos, photos / seconds if seconds else 0.0)
            for name, (photos, seconds) in sorted(tally.actors.items())
        },
        time_shares={step: seconds / spent for step, seconds in tally.spent.items()} if spent else {},
        run_id=log.run_id,
    )
    files: dict[str, bytes] = {}
    if tally.pending:
        files = {SUMMARY_FILE: json.dumps(vars(report), indent=2).encode(), STATS_FILE: stats.encode()}
        files[SHEET_FILE] = _sheet(source, folder, after)
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


def _sheet(source: Source, folder: str, after: Committed) -> bytes:
    done = [key for key in source.row_keys() if key in after.files]
    chosen = [done[i] for i in np.unique(np.linspace(0, len(done) - 1, SHEET_PAIRS).astype(int))] if done else []
    depths = {key: decode_depth(png) for key, png, _ in read_depths(folder, {key: after.files[key] for key in chosen})}
    rows = source.choose(set(chosen)).to_pylist()
    prepared = read_pictures(rows)
    pairs = []
    for row in rows:
        key = (row["id"], row["digest"])
        try:
            data = prepared.get(key) or read_bytes(row["uri"])
            photo = decode_photo(data, target_size=within(photo_size(data), DEPTH_LONG_SIDE_PX))
            pairs.append((row["id"], photo, depths[key]))
        except (OSError, DatasetError, PhotoError):  # moved away since it was taught
            continue
    return encode_photo(contact_sheet(pairs), format="png")
