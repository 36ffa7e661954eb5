"""Measuring a detector on the labelled photos of one set: its metrics and what its report shows."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dbd_ray.config import EvaluateConfig
from dbd_ray.detection.detector import Detector
from dbd_ray.errors import CheckpointError
from dbd_ray.evaluation.open_photos import LabelledImage, OpenedPhotos
from dbd_ray.evaluation.promotion import Rival
from dbd_ray.evaluation.report_content import Report
from dbd_ray.evaluation.thumbnails import EvaluatedPhoto, keep_worst, thumbnail
from dbd_ray.masking import masked_values
from dbd_ray.metrics import FocusMetrics

EXAMPLES = 12
WORST = 12


def measure_photos(
    config: EvaluateConfig,
    detector: Detector,
    opened: OpenedPhotos,
    history: list[dict[str, float]] | None,
    *,
    rival: Rival | None = None,
    on_photo: Callable[[int, int], Any] = lambda done, total: None,
) -> Report:
    """Measure a detector on a set's photos.

    Args:
        config: The set, and how the detector looks.
        detector: The model.
        opened: The set's photos, from `open_photos`.
        history: How the model was trained, from `read_training`.
        rival: A model that is compared with it, photo by photo.
        on_photo: Called with (done, total) after every photo.

    Returns:
        The content of its report.

    Raises:
        DatasetError: Photos of the set cannot be used, all listed.
    """
    metrics = FocusMetrics()
    rows: list[dict[str, Any]] = []
    examples: list[EvaluatedPhoto] = []
    worst: list[EvaluatedPhoto] = []
    total = opened.total
    shown = set(np.linspace(0, total - 1, min(EXAMPLES, total)).round().astype(int))
    for evaluated in _each_evaluated(detector, rival, opened.images, metrics, config):
        rows.append({"id": evaluated.id, **evaluated.values})
        if len(rows) - 1 in shown:
            examples.append(thumbnail(evaluated))
        worst = keep_worst(worst, evaluated, WORST)
        on_photo(len(rows), total)
    return Report(
        title=f"{detector.card.name} on {opened.name}, {config.split} split",
        dataset=opened.name,
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
        compare_with=_published_set(config, opened.name),
        comparison=rival.compare([row[config.compare_by] for row in rows]) if rival else None,
    )


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


def read_training(checkpoint: Path) -> list[dict[str, float]] | None:
    """Read every epoch's metrics beside a checkpoint; None if there are none, CheckpointError if they are damaged."""
    path = checkpoint / "history.json"
    try:
        history: list[dict[str, float]] | None = json.loads(path.read_bytes()) if path.is_file() else None
    except ValueError as error:
        raise CheckpointError(f"{path}: is damaged ({error}); delete it, or copy it from the run again") from None
    return history


def _published_set(config: EvaluateConfig, dataset: str) -> str | None:
    # a folder of somebody's own may be called cuhk, too
    return dataset if config.split == "test" and dataset in ("cuhk", "dut") and config.layout != "folder" else None
