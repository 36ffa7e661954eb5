"""Measuring a model on several sets at once: one table, a report for each set, one run in MLflow."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dbd_ray.checkpoints.find import opened_checkpoint
from dbd_ray.config import EvaluateConfig
from dbd_ray.datasets.stacks import FocusStack, scan_stacks
from dbd_ray.detection.detector import Detector
from dbd_ray.evaluation.bench_files import BENCH_FILES, require_bench_folder, write_bench
from dbd_ray.evaluation.measure import describe, measure_photos, read_training
from dbd_ray.evaluation.open_photos import OpenedPhotos, open_photos
from dbd_ray.evaluation.report import write_report
from dbd_ray.evaluation.report_content import Report
from dbd_ray.evaluation.report_folder import require_report_folder
from dbd_ray.evaluation.run import log_files, open_log, used
from dbd_ray.evaluation.stacks import measure_stacks
from dbd_ray.summary import kind_of
from dbd_ray.tracking.runs import UsedData, tracking_uri
from dbd_ray.tracking.store import require_store, store_errors

FALSE_SHARP = "partial_called_all_in_focus"


class SetResult(NamedTuple):
    """A model's result on one set.

    Attributes:
        photos: Number of photos, or of focus stacks.
        metrics: Values by name: those of `metrics.METRIC_NAMES` and, where some photos are in focus in part,
            `partial_called_all_in_focus`, the share of these that the model calls sharp throughout; of focus stacks
            those of `metrics.stacks.STACK_METRIC_DEFINITIONS`.
        files: Files of its report by name; focus stacks have none.
        used: The set, as MLflow records it.
        per_stack: One row per focus stack.
    """

    photos: int
    metrics: dict[str, float]
    files: dict[str, Path]
    used: UsedData
    per_stack: list[dict[str, Any]]


class Bench(NamedTuple):
    """Result of measuring on several sets.

    Attributes:
        sets: Result by the set's name.
        files: Path of the table, as `json` and `markdown`.
        run_id: Id of the MLflow run.
    """

    sets: dict[str, SetResult]
    files: dict[str, Path]
    run_id: str


def measure_sets(
    config: EvaluateConfig, *, on_photo: Callable[[str, int, int], Any] = lambda name, done, total: None
) -> Bench:
    """Measure a model on each of `config.sets`, write the table and the sets' reports, and log all to one MLflow run.

    Args:
        config: Model, sets, and folder of the table, in which each set's report has a folder of its name.
        on_photo: Called with the set's name, (done, total) after every photo or stack.

    Raises:
        CheckpointError: The model cannot be loaded.
        DatasetError: A set has problems; no table is written then.
        ConfigError: There is nowhere to write the reports or to log them.
    """
    uri = tracking_uri(config.storage)
    require_store(uri)
    parts = {name: _part(config, name) for name in config.sets}
    require_bench_folder(Path(config.out))
    for part in parts.values():
        if part.layout != "stacks":
            require_report_folder(Path(part.out))
    with opened_checkpoint(config.model, registry=uri) as checkpoint:
        history = read_training(checkpoint)
        detector = Detector.load(checkpoint, device=config.device, engine=config.engine)
    opened = {name: _open(part) for name, part in parts.items()}  # all of them, before the first is measured
    results: dict[str, SetResult] = {}
    for name, part in parts.items():
        data, about = opened[name], lambda done, total, name=name: on_photo(name, done, total)
        if isinstance(data, OpenedPhotos):
            report = measure_photos(part, detector, data, history, on_photo=about)
            results[name] = _of_photos(part, report, write_report(report, Path(part.out)))
        else:
            metrics, rows = measure_stacks(part, detector, data, on_stack=about)
            results[name] = SetResult(len(rows), metrics, {}, used(part, [row["id"] for row in rows]), rows)
    files = write_bench(Path(config.out), describe(detector), config, results)
    with store_errors(uri, f"MLflow cannot record the table, which is in {config.out}"):
        return Bench(results, files, _log(uri, config, detector, results, files))


def _part(config: EvaluateConfig, name: str) -> EvaluateConfig:
    # not validated again: focus stacks are refused as a set of their own
    source = {field: getattr(config.sets[name], field) for field in type(config.sets[name]).model_fields}
    return config.model_copy(update={**source, "sets": {}, "out": f"{config.out}/{name}"})


def _open(part: EvaluateConfig) -> OpenedPhotos | list[FocusStack]:
    return scan_stacks(str(part.root)) if part.layout == "stacks" else open_photos(part)


def _of_photos(part: EvaluateConfig, report: Report, files: dict[str, Path]) -> SetResult:
    rows = report.per_image
    partial = [row for row in rows if kind_of(row["in_focus_fraction_truth"]) == "partial"]
    called_sharp = [row for row in partial if kind_of(row["in_focus_fraction_map"]) == "all_in_focus"]
    metrics = dict(report.metrics) | ({FALSE_SHARP: len(called_sharp) / len(partial)} if partial else {})
    return SetResult(len(rows), metrics, files, used(part, [str(row["id"]) for row in rows]), [])


def _log(
    uri: str, config: EvaluateConfig, detector: Detector, results: Mapping[str, SetResult], files: dict[str, Path]
) -> str:
    title = f"{detector.card.name} on {', '.join(results)}"
    sets = [result.used for result in results.values()]
    log = open_log(uri, title, config.model_dump(mode="json"), detector, sets)
    for name, result in results.items():
        log.metrics({f"{name}/{metric}": value for metric, value in result.metrics.items()})
        if result.files:
            log_files(log, result.files, under=f"report/{name}")
    log_files(log, {name: files[name] for name in BENCH_FILES}, under="report")
    log.finish()
    return log.run_id
