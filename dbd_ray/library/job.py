"""The annotation job: every file of a library has a row, and a run may be killed and repeated at any time."""

import hashlib
import json
import logging
import os
import posixpath
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from dbd_ray.checkpoints.files import read_card
from dbd_ray.checkpoints.find import opened_checkpoint
from dbd_ray.config import AnnotateConfig
from dbd_ray.errors import ConfigError
from dbd_ray.library.checks import check_same_library, without_shared_names
from dbd_ray.library.endpoint import KEY_VARIABLE, model_of
from dbd_ray.library.gallery import check_gallery, claim_gallery, has_gallery, write_gallery
from dbd_ray.library.parts import keep_parts, publish, read_parts, read_table, table_of
from dbd_ray.library.pipeline import Run, annotate_groups, hash_photos
from dbd_ray.library.places import Results, Source, only_run_in, resolved
from dbd_ray.library.plan import Before, Plan, grouped, make_plan, may_be_equal, rows_of_others
from dbd_ray.library.report import AnnotateReport, count_rows, failures_in, record
from dbd_ray.library.scan import Found, scan
from dbd_ray.library.schema import path_text
from dbd_ray.library.write import lacks_results, result_names, thumbnail_names, write_sidecar_of
from dbd_ray.storage import kind_at
from dbd_ray.tracking.runs import RunLog, attempt, tracking_uri

OnPhoto = Callable[[int, int, int], None]

_VERSION = 1  # of what a row holds; a new one makes all photos be looked at again
_CRASHED = "the process died each time that it looked at this photo: out of memory, or a fault in a decoder"


class Opened(NamedTuple):
    """A library that was scanned and compared with what earlier runs did.

    Attributes:
        run: What the stages of the pipeline are told.
        model: name@fingerprint.
        parts: Rows of a run that did not come to its end.
        whole: The table of the last run that did; None where there is none.
        before: Both.
        plan: What is to be done.
    """

    run: Run
    model: str
    parts: pa.Table
    whole: pa.Table | None
    before: Before
    plan: Plan


def open_library(config: AnnotateConfig) -> Opened:
    """Scan a library and plan what is to be done; nothing is written, and no Ray is needed.

    Args:
        config: The library, the results, the model and the actors; `model` or `endpoint` is set.

    Raises:
        ConfigError: The results would lie in the library itself, or in a gallery of others.
        CheckpointError: There is no such model.
        FocusRequestError: The endpoint does not answer.
        DatasetError: There is no such library, or the table of results is damaged or of others.
    """
    source, out = resolved(config.source), resolved(config.out)
    if kind_at(out) in ("file", "other"):
        raise ConfigError(f"out: {out} is a file; give a folder for the results")
    if source == out:
        raise ConfigError(f"out: {out} is the library itself; choose another folder for the results")
    run_model, model = _model(config)
    parameters = _digest({"version": _VERSION, **config.result_settings()})
    files = without_shared_names(scan(source, out=out, pairs=config.pairs), config)
    parts, whole = read_parts(out), read_table(out)
    check_same_library(source, out, files, whole, force=config.force)
    rows = parts if whole is None else pa.concat_tables([parts, whole])
    before = Before(rows, model=model, parameters=parameters, retry_errors=config.retry_errors)
    run = Run(source, out, run_model, parameters, config)
    if _has_pages(run):
        check_gallery(out)
    results = Results(out, force=config.force)
    plan = make_plan(files, before, lambda path, row: lacks_results(results, path, row, config))
    return Opened(run, model, parts, whole, before, plan)


def planned(library: Opened) -> AnnotateReport:
    """Tell what `annotate` would do."""
    plan, run = library.plan, library.run
    counts = count_rows(table_of(rows_of_others(plan.others, run.source, run.parameters)))
    return AnnotateReport(run.out, library.model, counts, looked_at=len(plan.pending), kept=len(plan.kept))


def annotate(library: Opened, *, on_photo: OnPhoto = lambda done, total, failed: None) -> AnnotateReport:
    """Look at the photos of a library that are new or changed, and write what was asked for.

    Args:
        library: From `open_library`; Ray is connected if its plan has pending photos.
        on_photo: Called with (done, total, failed) while rows are committed.

    Raises:
        ConfigError: The cluster has no room for so many detectors, or MLflow cannot record.
        DatasetError: Results cannot be written.
    """
    with only_run_in(library.run.out):
        return _annotate(library, on_photo)


def _annotate(library: Opened, on_photo: OnPhoto) -> AnnotateReport:
    run, plan, before, whole = library.run, library.plan, library.before, library.whole
    report = AnnotateReport(run.out, library.model, kept=len(plan.kept))
    params = run.config.model_dump(mode="json")
    log = RunLog.open(tracking_uri(run.config.storage), f"annotate {library.model}", params=params)
    log.describe("annotate", f"{run.source} by {library.model}")
    report.run_id = log.run_id
    try:
        if _has_pages(run):
            claim_gallery(run.out)
        from_parts = [number for number in plan.kept if number < len(library.parts)]
        keep_parts(run.out, library.parts.take(pa.array(from_parts, pa.int64())))
        reused = _look_at_pending(run, plan, before, report, on_photo)
        table = _whole(plan, before, reused, run)
        changed = whole is None or not table.equals(whole)
        if changed:
            publish(run.out, table)
        if _has_pages(run) and (changed or not has_gallery(run.out)):
            write_gallery(table, run.out, title=posixpath.basename(run.source))
    except BaseException:
        attempt(lambda: log.finish(failed=True), logging.getLogger(__name__).warning)
        raise
    report.counts, report.failures = count_rows(table), failures_in(table)
    attempt(lambda: record(log, report), logging.getLogger(__name__).warning)  # the results are there
    return report


def _has_pages(run: Run) -> bool:
    return "gallery" in run.config.save


def _look_at_pending(
    run: Run, plan: Plan, before: Before, report: AnnotateReport, on_photo: OnPhoto
) -> list[dict[str, Any]]:
    """Run the pipeline over pending photos; returns the rows of those whose content was known."""
    hashes = hash_photos(run, may_be_equal(plan.pending, before.sizes()))
    reused, pending = _reuse(run, plan.pending, hashes, before)
    report.reused = len(reused)
    total, done, failed, started = len(pending), 0, 0, time.monotonic()
    commits = [(started, 0)]  # number of photos with results at each, so that the rate is of these alone

    def count(statuses: Sequence[str], reasons: Sequence[str]) -> None:
        nonlocal done, failed
        failed += sum(status == "error" for status in statuses)
        done = min(total, done + len(statuses))
        commits.append((time.monotonic(), done - failed))
        on_photo(done, total, failed)

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
    report.photos_per_s = _steady_rate(commits)
    crashed = [found._replace(status="error", reason="crashed", message=_CRASHED) for found in pending]
    return reused + rows_of_others(crashed, run.source, run.parameters)


def _steady_rate(commits: Sequence[tuple[float, int]]) -> float:
    # from the first commit on: what it took to begin says nothing of the rate
    (first_at, first), (last_at, last) = commits[min(1, len(commits) - 1)], commits[-1]
    return (last - first) / (last_at - first_at) if last > first else 0.0


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
        row |= {"size": found.size, "mtime_ns": found.mtime_ns, "uri": run.source}
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
    origin = source.origin(row["path_bytes"], known["content_hash"])
    contents = {kind: results.read_unmarked(name, origin.digest) for kind, name in old.items()}
    missing = any(content is None for kind, content in contents.items() if kind != "crops" or row["sharp_left"] >= 0)
    if "gallery" in config.save:
        missing = missing or results.lacks(thumbnail_names(known["content_hash"]))
    if missing or results.refusal(list(new.values()), origin):
        return False
    if any(results.write(new[kind], content, origin) for kind, content in contents.items() if content):
        return False
    return "sidecars" not in config.save or write_sidecar_of(source, row, config) is None


def _whole(plan: Plan, before: Before, reused: list[dict[str, Any]], run: Run) -> pa.Table:
    kept = before.rows.take(pa.array(plan.kept, pa.int64()))
    uri = pa.array([run.source] * len(kept), pa.string())  # of a library that was moved, too
    kept = kept.set_column(kept.schema.get_field_index("uri"), kept.schema.field("uri"), uri)
    fresh = read_parts(run.out, earlier=False)
    others = table_of([*reused, *rows_of_others(plan.others, run.source, run.parameters)])
    return pa.concat_tables([kept, fresh, others]).sort_by([("path_bytes", "ascending")])


def _model(config: AnnotateConfig) -> tuple[str, str]:
    """Give a model as actors find it, which run in folders of their own, and its name@fingerprint."""
    if config.endpoint:
        return "", model_of(config.endpoint, api_key=os.environ.get(KEY_VARIABLE))
    model = str(config.model)
    with opened_checkpoint(model) as folder:
        card = read_card(folder)
        absolute = str(Path(model).absolute()) if Path(model) == folder else model
    return absolute, f"{card.name}@{card.fingerprint[:16]}"


def _digest(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
