"""The annotation job: every file of a library has a row, and a run may be killed and repeated at any time."""

import hashlib
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from dbd_ray.checkpoints.files import read_card
from dbd_ray.checkpoints.find import opened_checkpoint
from dbd_ray.config import AnnotateConfig
from dbd_ray.errors import ConfigError
from dbd_ray.library.gallery import GALLERY, claim_gallery, write_gallery
from dbd_ray.library.parts import keep_parts, publish, read_parts, read_table, table_of
from dbd_ray.library.pipeline import Run, annotate_groups, gpus_per_actor, hash_photos
from dbd_ray.library.places import Results, Source
from dbd_ray.library.plan import Before, Plan, grouped, make_plan, may_be_equal, rows_of_others
from dbd_ray.library.scan import Found, scan
from dbd_ray.library.schema import TABLE, path_text
from dbd_ray.library.write import result_names, write_sidecar_of
from dbd_ray.storage import as_uri
from dbd_ray.tracking.runs import RunLog, attempt, tracking_uri

_VERSION = 1  # of what a row holds; a new one makes all photos be looked at again
_CRASHED = "the process died each time that it looked at this photo: out of memory, or a fault in a decoder"


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
        seconds: Wall-clock time of the pipeline.
        run_id: Id of the MLflow run; empty for a dry run.
    """

    out: str
    model: str
    counts: dict[str, int] = field(default_factory=dict)
    looked_at: int = 0
    kept: int = 0
    reused: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    run_id: str = ""

    @property
    def photos_per_s(self) -> float:
        """Throughput of the pipeline."""
        return self.looked_at / self.seconds if self.seconds else 0.0


def annotate(
    config: AnnotateConfig,
    *,
    dry_run: bool = False,
    on_photo: Callable[[int, int], None] = lambda done, total: None,
) -> AnnotateReport:
    """Look at the photos of a library that are new or changed, and write what was asked for.

    Args:
        config: The library, the results, the model and the actors; `model` is set.
        dry_run: Only count what would be done.
        on_photo: Called with (done, total) while rows are committed.

    Raises:
        ConfigError: The results would lie in the library itself, the cluster has no room for so many detectors, or
            MLflow cannot record.
        CheckpointError: There is no such model.
        DatasetError: There is no such library, or results cannot be written.
    """
    source, out = as_uri(config.source), as_uri(config.out)
    if source == out or Path(source).resolve() == Path(out).resolve():
        raise ConfigError(f"out: {out} is the library itself; choose another folder for the results")
    run_model, model = _model(str(config.model))
    parameters = _digest({"version": _VERSION, "uri": source, **config.result_settings()})
    files = scan(source, out=out, pairs=config.pairs)
    parts = read_parts(out)
    whole = read_table(out)
    rows = parts if whole is None else pa.concat_tables([parts, whole])
    before = Before(rows, model=model, parameters=parameters, retry_errors=config.retry_errors)
    plan = make_plan(files, before)
    report = AnnotateReport(out, model, kept=len(plan.kept))
    if dry_run:
        report.counts = _counts(table_of(rows_of_others(plan.others, source, parameters)))
        report.looked_at = len(plan.pending)
        return report
    log = RunLog.open(tracking_uri(config.storage), f"annotate {model}", params=config.model_dump(mode="json"))
    report.run_id = log.run_id
    try:
        pages = "gallery" in config.save and Results(out, force=False).local
        if pages:
            claim_gallery(out)
        run = Run(source, out, run_model, gpus_per_actor(config) if plan.pending else 0.0, parameters, config)
        keep_parts(out, parts.take(pa.array([number for number in plan.kept if number < len(parts)], pa.int64())))
        reused = _annotate(run, plan, before, report, on_photo)
        table = _whole(plan, before, reused, run)
        changed = whole is None or not table.equals(whole)
        if changed:
            publish(out, table)
        if pages and (changed or not (Path(out) / GALLERY / "index.html").exists()):
            write_gallery(table, out, title=Path(source).name)
    except BaseException:
        attempt(lambda: log.finish(failed=True), logging.getLogger(__name__).warning)
        raise
    report.counts = _counts(table)
    report.failures = _failures(table)
    attempt(lambda: _record(log, report), logging.getLogger(__name__).warning)  # the results are there
    return report


def _annotate(
    run: Run, plan: Plan, before: Before, report: AnnotateReport, on_photo: Callable[[int, int], None]
) -> list[dict[str, Any]]:
    """Run the pipeline over pending photos; returns the rows of those whose content was known."""
    hashes = hash_photos(run, may_be_equal(plan.pending, before.sizes()))
    reused, pending = _reuse(run, plan.pending, hashes, before)
    report.reused = len(reused)
    total, started, done = len(pending), time.monotonic(), 0

    def count(statuses: Sequence[str], reasons: Sequence[str]) -> None:
        nonlocal done
        done = min(total, done + len(statuses))
        on_photo(done, total)

    for photos_per_task, drop_crashed in (
        (run.config.photos_per_task, False),
        (run.config.photos_per_task, True),
        (1, True),
    ):
        if pending:
            groups = grouped(pending, hashes)
            annotate_groups(run, groups, photos_per_task=photos_per_task, drop_crashed=drop_crashed, on_batch=count)
            finished = set(read_parts(run.out, earlier=False)["path_bytes"].to_pylist())
            pending = [found for found in pending if found.path not in finished]
    report.seconds, report.looked_at = time.monotonic() - started if total else 0.0, total
    crashed = [found._replace(status="error", reason="crashed", detail=_CRASHED) for found in pending]
    return reused + rows_of_others(crashed, run.source, run.parameters)


def _reuse(
    run: Run, pending: Sequence[Found], hashes: dict[bytes, str], before: Before
) -> tuple[list[dict[str, Any]], list[Found]]:
    """Give photos whose content is known the results that it has, under their own names."""
    results, source = Results(run.out, force=run.config.force), Source(run.source)
    reused: list[dict[str, Any]] = []
    left: list[Found] = []
    for found in pending:
        number = before.same.get(hashes.get(found.path, ""))
        known = before.rows.slice(number, 1).to_pylist()[0] if number is not None else {}
        row = known | {"path": path_text(found.path), "path_bytes": found.path}
        row |= {"size": found.size, "mtime_ns": found.mtime_ns}
        if known and _copied(results, source, known, row, run.config):
            reused.append(row)
        else:
            left.append(found)
    return reused, left


def _copied(
    results: Results, source: Source, known: dict[str, Any], row: dict[str, Any], config: AnnotateConfig
) -> bool:
    """Write a known photo's results for another file of the same content; what cannot be is told by the pipeline."""
    old, new = (result_names(os.fsdecode(one["path_bytes"]), config) for one in (known, row))
    contents = {kind: results.read_unmarked(name) for kind, name in old.items()}
    origin = source.origin(row["path_bytes"], known["content_hash"])
    missing = any(content is None for kind, content in contents.items() if kind != "crops")
    if missing or results.refusal(list(new.values()), origin):
        return False
    if any(results.write(new[kind], content, origin) for kind, content in contents.items() if content):
        return False
    return "sidecars" not in config.save or write_sidecar_of(source, row, config) is None


def _whole(plan: Plan, before: Before, reused: list[dict[str, Any]], run: Run) -> pa.Table:
    kept = before.rows.take(pa.array(plan.kept, pa.int64()))
    fresh = read_parts(run.out, earlier=False)
    others = table_of([*reused, *rows_of_others(plan.others, run.source, run.parameters)])
    return pa.concat_tables([kept, fresh, others]).sort_by([("path_bytes", "ascending")])


def _model(model: str) -> tuple[str, str]:
    """Give a model as actors find it, which run in folders of their own, and its name@fingerprint."""
    with opened_checkpoint(model) as folder:
        card = read_card(folder)
        absolute = str(Path(model).absolute()) if Path(model) == folder else model
    return absolute, f"{card.name}@{card.fingerprint[:16]}"


def _digest(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _counts(table: pa.Table) -> dict[str, int]:
    pairs = zip(table["status"].to_pylist(), table["reason"].to_pylist(), strict=True)
    return dict(sorted(Counter(f"{status}: {reason}" if reason else status for status, reason in pairs).items()))


def _failures(table: pa.Table) -> dict[str, str]:
    failed = table.filter(pa.compute.equal(table["status"], "error")).slice(0, 20)
    return dict(zip(failed["path"].to_pylist(), failed["detail"].to_pylist(), strict=True))


def _record(log: RunLog, report: AnnotateReport) -> None:
    figures = {"looked_at": report.looked_at, "kept": report.kept, "reused": report.reused}
    rates = {"seconds": report.seconds, "photos_per_s": report.photos_per_s}
    counts = {f"files/{name.replace(': ', '/')}": float(count) for name, count in report.counts.items()}
    log.metrics({**{name: float(value) for name, value in figures.items()}, **rates, **counts})
    log.tags({"model": report.model, "library": f"{report.out}/{TABLE}"})
    log.finish()
