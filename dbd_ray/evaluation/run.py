"""One evaluation: metrics on labelled photos, the report, its record in MLflow, comparison and promotion."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dbd_ray.checkpoints.find import opened_checkpoint
from dbd_ray.config import EvaluateConfig, MeasuredSet
from dbd_ray.detection.detector import Detector
from dbd_ray.evaluation.comparison import Comparison
from dbd_ray.evaluation.measure import measure_photos, read_training
from dbd_ray.evaluation.open_photos import open_photos
from dbd_ray.evaluation.promotion import choose_rival, decide, find_champion_to_beat
from dbd_ray.evaluation.report import write_report
from dbd_ray.evaluation.report_content import Report
from dbd_ray.evaluation.report_folder import require_report_folder
from dbd_ray.storage import as_uri
from dbd_ray.tracking.runs import RunLog, UsedData, tracking_uri
from dbd_ray.tracking.store import require_store, store_errors


class Evaluation(NamedTuple):
    """Result of an evaluation.

    Attributes:
        metrics: Values by the names in `metrics.METRIC_NAMES`.
        files: Path of each written file by name, see `report.write_report`.
        run_id: Id of the MLflow run.
        comparison: Comparison with the champion or with the model that `against` names; None where there was none.
        decision: One line that says which model is champion now; None without `promote`.
    """

    metrics: dict[str, float]
    files: dict[str, Path]
    run_id: str
    comparison: Comparison | None = None
    decision: str | None = None


def evaluate(config: EvaluateConfig, *, on_photo: Callable[[int, int], Any] = lambda done, total: None) -> Evaluation:
    """Measure a model, write its report and log both to MLflow; compare it with another one, and promote it.

    Args:
        config: Model, data and folder of the report.
        on_photo: Called with (done, total) after every photo.

    Raises:
        CheckpointError: The model cannot be loaded.
        DatasetError: The split that is measured has problems, all listed; no report is written then.
        ConfigError: There is nowhere to write the report or to log it, or nothing to compare with.
    """
    uri = tracking_uri(config.storage)  # a mistake in where results go must not show only when they are there
    require_report_folder(Path(config.out))
    require_store(uri)
    with opened_checkpoint(config.model, registry=uri) as checkpoint:
        return _evaluate(config, checkpoint, uri, on_photo)


def _evaluate(config: EvaluateConfig, checkpoint: Path, uri: str, on_photo: Callable[[int, int], Any]) -> Evaluation:
    detector = Detector.load(checkpoint, device=config.device, engine=config.engine)
    opened = open_photos(config)
    champion = find_champion_to_beat(config, uri)
    rival = choose_rival(config, uri, detector, champion, opened.total)
    report = measure_photos(config, detector, opened, read_training(checkpoint), rival=rival, on_photo=on_photo)
    files = write_report(report, Path(config.out))
    with store_errors(uri, f"MLflow cannot record the report, which is in {config.out}"):
        log = _log(uri, config, detector, report, files)
    decision = decide(config, log, checkpoint, champion, report.comparison) if config.promote else None
    if decision:
        log.tags({"promotion": decision})
    return Evaluation(dict(report.metrics), files, log.run_id, report.comparison, decision)


def used(config: MeasuredSet, ids: Sequence[str]) -> UsedData:
    """Describe a set that was measured to MLflow; it has no fingerprint but the names of its photos."""
    names = hashlib.sha256("\n".join(ids).encode(errors="surrogateescape"))
    where = as_uri(str(config.prepared or config.root))
    return UsedData(where, names.hexdigest(), {config.split: len(ids)}, "evaluation")


def open_log(uri: str, title: str, params: dict[str, Any], detector: Detector, sets: Sequence[UsedData]) -> RunLog:
    """Open the MLflow run of an evaluation, with what it says of its model and its sets."""
    log = RunLog.open(uri, f"evaluate {title}", params=params)
    log.tags({"stage": "evaluate", "model": detector.card.name, "model.fingerprint": detector.card.fingerprint})
    log.describe("evaluate", title, sets)
    return log


def log_files(log: RunLog, files: Mapping[str, Path], *, under: str) -> None:
    """Put a report's files into an MLflow run; its folder may hold anything else, datasets for instance."""
    with tempfile.TemporaryDirectory() as folder:
        for path in files.values():
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, Path(folder) / path.name)
        log.files(Path(folder), under=under)


def _log(uri: str, config: EvaluateConfig, detector: Detector, report: Report, files: dict[str, Path]) -> RunLog:
    params = config.model_dump(mode="json", exclude={"sets"})
    log = open_log(uri, report.title, params, detector, [used(config, [str(row["id"]) for row in report.per_image])])
    if report.comparison:
        log.tags({f"comparison.{name}": value for name, value in report.comparison.facts().items()})
    log.metrics({f"{config.split}/{name}": value for name, value in report.metrics.items()})
    log_files(log, files, under="report")
    log.finish()
    return log
