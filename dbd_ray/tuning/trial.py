"""One trial of a study on Ray Tune: a run that is trained as by `dbd-ray train`, then measured."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.integration.ray_train import TuneReportCallback

from dbd_ray.config import MeasuredSplit, TrainConfig
from dbd_ray.datasets.prepared import read_info, read_rows
from dbd_ray.detection.detector import Detector
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_mask
from dbd_ray.metrics import FocusMetrics
from dbd_ray.storage import open_storage
from dbd_ray.tracking.runs import RunLog
from dbd_ray.training.open_run import open_run
from dbd_ray.training.run_folder import MODEL_FILES, TrainedModel, finished_run, read_record, write_record
from dbd_ray.training.trainer import train

MEASURED_FILE = "measured.json"
ROWS_AT_ONCE = 32

Plan = Callable[[Mapping[str, Any], str], TrainConfig]


def run_trial(config: dict[str, Any], *, plan: Plan, parent: dict[str, str], split: MeasuredSplit) -> None:
    """Train the run of one point, or go on with it, and measure it; every epoch is reported to Ray Tune.

    Args:
        config: The point: values of the settings that the study varies.
        plan: Makes the run from the point and the trial's ID.
        parent: `uri` and `run_id` of the study's MLflow run.
        split: The split that is measured; the best epoch's validation metrics are known from training.
    """
    # one of many is no candidate for the registry: a search's winner is trained again, as a run of its own
    run = plan(config, tune.get_context().get_trial_id()).model_copy(update={"registered_model": None})
    opened = open_run(run)
    if isinstance(opened, TrainedModel):  # the study was interrupted before Ray Tune had recorded the end of this run
        trained = opened
        for epoch in trained.history:
            tune.report(epoch)
    else:
        trained = train(opened, parent=RunLog(**parent), callbacks=[TuneReportCallback()])
    if split == "test" and read_record(run, MEASURED_FILE) is None:
        measured = measure(trained.folder, run.data)
        RunLog(trained.tracking_uri, trained.run_id).metrics(
            {f"test/{name}": value for name, value in measured.items()}
        )
        write_record(run, MEASURED_FILE, measured)


def metrics_of(run: TrainConfig, split: MeasuredSplit) -> dict[str, float] | None:
    """Read the metrics of a run on a split; None if it is not finished, or was not measured."""
    trained = finished_run(run)
    if trained is None:
        return None
    if split == "test":
        return read_record(run, MEASURED_FILE)
    return {name.removeprefix("val/"): value for name, value in trained.metrics.items() if name.startswith("val/")}


def measure(model: str, data: tuple[str, ...]) -> dict[str, float]:
    """Measure a model on the test rows of prepared datasets, at their size.

    Args:
        model: Folder or URI of its checkpoint.
        data: Prepared datasets; those without test rows are passed over.

    Returns:
        Values by the names in `metrics.METRIC_NAMES`.
    """
    metrics = FocusMetrics()
    with tempfile.TemporaryDirectory() as folder:
        storage, path = open_storage(model)
        for name in MODEL_FILES:
            storage.get_file(f"{path}/{name}", str(Path(folder) / name))
        detector = Detector.load(folder, engine="eager")
    for location in data:
        if not read_info(location).rows.get("test"):
            continue
        table = read_rows(location, "test", columns=["image", "mask"])
        for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
            rows = batch.to_pylist()
            found = detector.detect_each([decode_photo(row["image"]) for row in rows])
            for row, focus_map in zip(rows, found, strict=True):
                metrics.update(focus_map.focus, decode_mask(row["mask"], polarity="focus"))
    return metrics.compute()
