"""One evaluation: metrics on labelled photos, the report, its record in MLflow, comparison and promotion."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from dbd_ray.checkpoints.find import opened_checkpoint
from dbd_ray.config import EvaluateConfig
from dbd_ray.datasets.labelled import read_labelled
from dbd_ray.datasets.layouts import LabelledPhoto, scan_layout
from dbd_ray.datasets.prepared import read_rows
from dbd_ray.detection.detector import Detector
from dbd_ray.errors import CheckpointError, DatasetError, PhotoError
from dbd_ray.evaluation.comparison import Comparison
from dbd_ray.evaluation.promotion import Rival, choose_rival, decide, find_champion_to_beat
from dbd_ray.evaluation.report import write_report
from dbd_ray.evaluation.report_content import Report
from dbd_ray.evaluation.report_folder import require_report_folder
from dbd_ray.evaluation.thumbnails import EvaluatedPhoto, keep_worst, thumbnail
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_mask
from dbd_ray.masking import masked_values
from dbd_ray.metrics import FocusMetrics
from dbd_ray.names import Layout
from dbd_ray.storage import as_uri
from dbd_ray.tracking.runs import RunLog, UsedData, tracking_uri
from dbd_ray.tracking.store import require_store, store_errors

EXAMPLES = 12
WORST = 12
ROWS_AT_ONCE = 32


class LabelledImage(NamedTuple):
    """A decoded photo and its mask.

    Attributes:
        id: Name in its dataset.
        photo: uint8 RGB H×W×3.
        truth: uint8 H×W, 255 = in focus.
    """

    id: str
    photo: np.ndarray
    truth: np.ndarray


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
    history = _history(checkpoint)
    detector = Detector.load(checkpoint, device=config.device, engine=config.engine)
    name, total, images = _open_data(config)
    champion = find_champion_to_beat(config, uri)
    rival = choose_rival(config, uri, detector, champion, total)
    metrics = FocusMetrics()
    rows: list[dict[str, Any]] = []
    examples: list[EvaluatedPhoto] = []
    worst: list[EvaluatedPhoto] = []
    shown = set(np.linspace(0, total - 1, min(EXAMPLES, total)).round().astype(int))
    for evaluated in _each_evaluated(detector, rival, images, metrics, config):
        rows.append({"id": evaluated.id, **evaluated.values})
        if len(rows) - 1 in shown:
            examples.append(thumbnail(evaluated))
        worst = keep_worst(worst, evaluated, WORST)
        on_photo(len(rows), total)
    comparison = rival.compare([row[config.compare_by] for row in rows]) if rival else None
    report = Report(
        title=f"{detector.card.name} on {name}, {config.split} split",
        dataset=name,
        split=config.split,
        model=describe(detector),
        metrics=metrics.compute(),
        curve=metrics.curve(),
        reliability=metrics.reliability(),
        per_image=rows,
        examples=examples,
        worst=worst,
        history=history,
        settings=masked_values({"evaluation": config.model_dump(mode="json"), "training": detector.card.provenance}),
        compare_with=_published_set(config, name),
        comparison=comparison,
    )
    files = write_report(report, Path(config.out))
    with store_errors(uri, f"MLflow cannot record the report, which is in {config.out}"):
        log = _log(uri, config, detector, report, files)
    decision = decide(config, log, checkpoint, champion, comparison) if config.promote else None
    if decision:
        log.tags({"promotion": decision})
    return Evaluation(dict(report.metrics), files, log.run_id, comparison, decision)


def describe(detector: Detector) -> dict[str, str]:
    """Give facts about a detector by label, for reports and listings."""
    card = detector.card
    height, width = card.input_size
    return {
        "name": card.name,
        "architecture": f"{card.network.architecture} on {card.network.backbone}",
        "parameters": f"{card.parameters / 1e6:.2f} M",
        "input": f"{height}×{width} px",
        "fingerprint": card.fingerprint[:16],
    }


def _published_set(config: EvaluateConfig, dataset: str) -> str | None:
    # a folder of somebody's own may be called cuhk, too
    return dataset if config.split == "test" and dataset in ("cuhk", "dut") and config.layout != "folder" else None


def _open_data(config: EvaluateConfig) -> tuple[str, int, Iterator[LabelledImage]]:
    if config.prepared:
        table = read_rows(config.prepared, config.split, columns=["id", "source", "image", "mask"])
        name = "+".join(sorted(table["source"].unique().to_pylist())) or "nothing"
        _refuse_empty(table.num_rows, config.prepared, config)
        return name, table.num_rows, _usable(config.prepared, _prepared_images(table))
    layout: Layout = config.layout or "cuhk"
    photos, problems = scan_layout(str(config.root), layout, polarity=config.polarity)
    if problems:
        raise DatasetError(str(config.root), problems)
    chosen = [photo for photo in photos if photo.split == config.split]
    _refuse_empty(len(chosen), str(config.root), config)
    return chosen[0].source, len(chosen), _usable(str(config.root), _native_images(chosen, config.allow_constant_masks))


def _refuse_empty(count: int, where: str, config: EvaluateConfig) -> None:
    if not count:
        raise DatasetError(where, [f"no photos in split {config.split!r}; choose another with --split"])


def _usable(where: str, images: Iterable[LabelledImage | str]) -> Iterator[LabelledImage]:
    problems: list[str] = []
    for image in images:
        if isinstance(image, str):
            problems.append(image)
        elif not problems:  # figures of the others alone would not be the split's: only more problems are of interest
            yield image
    if problems:
        raise DatasetError(where, problems)


def _native_images(photos: Sequence[LabelledPhoto], allow_constant_masks: bool) -> Iterator[LabelledImage | str]:
    for photo in photos:
        labelled = read_labelled(photo, allow_constant=allow_constant_masks)
        yield labelled if isinstance(labelled, str) else LabelledImage(photo.id, *labelled)


def _prepared_images(table: pa.Table) -> Iterator[LabelledImage | str]:
    # a few rows at a time: as Python objects they would double what the table takes
    for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
        for row in batch.to_pylist():
            try:
                mask = decode_mask(row["mask"], polarity="focus")
                yield LabelledImage(row["id"], decode_photo(row["image"]), mask)
            except PhotoError as error:
                yield f"row {row['id']}: {error}; prepare again"


def _each_evaluated(
    detector: Detector,
    rival: Rival | None,
    images: Iterable[LabelledImage],
    metrics: FocusMetrics,
    config: EvaluateConfig,
) -> Iterator[EvaluatedPhoto]:
    for chunk in _chunks(images, config.batch_size):
        photos = [image.photo for image in chunk]
        if rival:
            rival.measure(photos, [image.truth for image in chunk])
        found = detector.detect_each(photos, refine=config.refine)
        for image, focus_map in zip(chunk, found, strict=True):
            values = metrics.update(focus_map.focus, image.truth)
            yield EvaluatedPhoto(image.id, values, image.photo, image.truth, focus_map.focus)


def _chunks(images: Iterable[LabelledImage], size: int) -> Iterator[list[LabelledImage]]:
    # itertools.batched, which Python 3.11 does not have
    iterator = iter(images)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _history(checkpoint: Path) -> list[dict[str, float]] | None:
    path = checkpoint / "history.json"
    try:
        history: list[dict[str, float]] | None = json.loads(path.read_bytes()) if path.is_file() else None
    except ValueError as error:
        raise CheckpointError(f"{path}: is damaged ({error}); delete it, or copy it from the run again") from None
    return history


def _used(config: EvaluateConfig, report: Report) -> UsedData:
    # labelled photos have no fingerprint but their names
    names = hashlib.sha256("\n".join(str(row["id"]) for row in report.per_image).encode(errors="surrogateescape"))
    where = as_uri(str(config.prepared or config.root))
    return UsedData(where, names.hexdigest(), {config.split: len(report.per_image)}, "evaluation")


def _log(uri: str, config: EvaluateConfig, detector: Detector, report: Report, files: dict[str, Path]) -> RunLog:
    log = RunLog.open(uri, f"evaluate {report.title}", params=config.model_dump(mode="json"))
    log.tags({"stage": "evaluate", "model": detector.card.name, "model.fingerprint": detector.card.fingerprint})
    log.describe("evaluate", report.title, [_used(config, report)])
    if report.comparison:
        log.tags({f"comparison.{name}": value for name, value in report.comparison.facts().items()})
    log.metrics({f"{config.split}/{name}": value for name, value in report.metrics.items()})
    with tempfile.TemporaryDirectory() as folder:
        # the report alone: its folder may hold anything else, a dataset and checkpoints for instance
        for path in files.values():
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, Path(folder) / path.name)
        log.files(Path(folder), under="report")
    log.finish()
    return log
