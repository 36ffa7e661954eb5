"""Starting and resuming a training run on Ray, tracked in MLflow."""

import json
import re
from collections.abc import Callable
from typing import Any

import pyarrow.fs
import ray
import ray.data
import ray.train
from ray.train import CheckpointConfig, DataConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.util.queue import Queue

from dbd_ray.config import TrainConfig
from dbd_ray.datasets.layouts import Split
from dbd_ray.datasets.prepared import as_uri, common_input_size, parts_uri, read_info
from dbd_ray.errors import ConfigError, DatasetError, DbdRayError, TrainingError
from dbd_ray.metrics import METRIC_NAMES, lower_is_better
from dbd_ray.tracking import RunLog, tracking_uri
from dbd_ray.training.reporting import Event, listening
from dbd_ray.training.run_folder import (
    MODEL_FILES,
    TrainedModel,
    claim_name,
    find_claim,
    model_folder,
    new_key,
    read_result,
    write_result,
)
from dbd_ray.training.samples import EncodedRow
from dbd_ray.training.state import HISTORY_FILE
from dbd_ray.training.worker import train_loop_per_worker

CACHE_LIMIT_BYTES = 8 * 2**30  # encoded rows are held in every worker's memory


def train(config: TrainConfig, *, on_event: Callable[[Event], Any] = lambda event: None) -> TrainedModel:
    """Train, or go on with an interrupted run of the same name, and keep the best epoch's model.

    A run that is finished already is not repeated: its result is returned at once.

    Args:
        config: The run; `data` and `storage` may be relative to the current folder.
        on_event: Called, from a thread, with a `Progress` about twice a second and with lines of text now and then.

    Raises:
        ConfigError: A run of this name exists with other settings, or settings do not fit the cluster or data.
        TrainingError: Training failed; the last epoch's checkpoint remains.
    """
    config = absolute(config)
    claim = find_claim(config)
    finished = read_result(config) if claim else None
    if finished:
        return finished
    key = claim or new_key()
    fingerprints = {f"data.{i}.fingerprint": read_info(uri).fingerprint for i, uri in enumerate(config.data)}
    log = RunLog.open(
        tracking_uri(config.storage),
        config.name,
        key=key,
        params=config.model_dump(mode="json"),
    )
    log.tags(fingerprints)
    try:
        with listening(on_event) as progress:
            trainer = make_trainer(config, mlflow_run=log, progress=progress)
            claim_name(config, key)  # only now: settings that do not fit the data must not hold the name
            result = trainer.fit()
    except ray.train.TrainingFailedError as error:
        log.finish(failed=True)
        raise TrainingError(f"run {config.name} failed: {_cause(error)}") from error
    except DbdRayError:
        log.finish(failed=True)
        raise
    best, metrics = _best(config, result)
    history = _history(result)
    folder = model_folder(config)
    _publish(best, folder, history)
    trained = TrainedModel(folder, metrics, history, log.run_id, log.uri)
    write_result(config, trained)
    log.finish()
    return trained


def make_trainer(
    config: TrainConfig, *, mlflow_run: RunLog | None = None, progress: Queue | None = None, **run_config: Any
) -> TorchTrainer:
    """Build the TorchTrainer of a run; also for other people's Tuners and pipelines.

    Args:
        config: The run.
        mlflow_run: Where rank 0 logs every epoch; None: nowhere.
        progress: A queue of `reporting.listening`; None: the first worker prints its progress.
        run_config: Further arguments of ray.train.RunConfig, e.g. callbacks.

    Raises:
        ConfigError: The data does not fit the settings.
        DatasetError: A prepared dataset is missing, or they were prepared at different sizes.
    """
    config = absolute(config)
    common_input_size(config.data)
    datasets: dict[str, Any] = {"train": read_split(config.data, "train")}
    splits = set().union(*(read_info(uri).rows for uri in config.data))
    if "val" in splits:
        datasets["val"] = read_split(config.data, "val")
        if config.select_by not in METRIC_NAMES:
            raise ConfigError(f"select_by: {config.select_by!r} is no metric; choose one of {', '.join(METRIC_NAMES)}")
    score = f"val/{config.select_by}" if "val" in splits else "epoch"
    order = "min" if "val" in splits and lower_is_better(config.select_by) else "max"
    use_gpu = _use_gpu(config)
    return TorchTrainer(
        train_loop_per_worker,
        train_loop_config={
            "train": config.model_dump(mode="json"),
            "mlflow": {"uri": mlflow_run.uri, "run_id": mlflow_run.run_id} if mlflow_run else None,
            "progress": progress,
        },
        scaling_config=ScalingConfig(
            num_workers=config.workers.count,
            use_gpu=use_gpu,
            resources_per_worker={"CPU": config.workers.cpus, **({"GPU": 1} if use_gpu else {})},
        ),
        run_config=RunConfig(
            name=config.name,
            storage_path=config.storage,
            # the best one to keep and, always kept by Ray, the latest one to resume from
            checkpoint_config=CheckpointConfig(
                num_to_keep=1, checkpoint_score_attribute=score, checkpoint_score_order=order
            ),
            **run_config,
        ),
        datasets=datasets,
        dataset_config=DataConfig(datasets_to_split=[]),  # every rank sees all rows and takes its part by seed
    )


def read_split(locations: tuple[str, ...], split: Split) -> ray.data.Dataset:
    """Read one split of prepared datasets into the object store, as a Ray Dataset of encoded rows.

    Read here and not by the workers: where these hold all CPUs, reading tasks would wait for them for ever.

    Raises:
        DatasetError: The split is empty, or larger than the workers' cache.
    """
    infos = {location: read_info(location) for location in locations}
    holding = [location for location, info in infos.items() if info.rows.get(split)]
    if not holding:
        raise DatasetError(", ".join(locations), [f"no rows of split {split!r}; prepare the dataset again"])
    size = sum(infos[location].image_bytes for location in holding)
    if size > CACHE_LIMIT_BYTES:
        raise DatasetError(
            ", ".join(holding),
            [f"{size / 2**30:.1f} GiB encoded exceed the {CACHE_LIMIT_BYTES / 2**30:.0f} GiB that a worker holds"],
        )
    parts = [
        ray.data.read_parquet(parts_uri(location, infos[location]), columns=[*EncodedRow._fields, "split"])
        .filter(expr=f"split == '{split}'")
        .drop_columns(["split"])
        for location in holding
    ]
    dataset = parts[0].union(*parts[1:]) if len(parts) > 1 else parts[0]
    return dataset.materialize()


def absolute(config: TrainConfig) -> TrainConfig:
    """Make local paths absolute: Ray's workers run in folders of their own."""
    weights = config.network.backbone_weights
    network = config.network
    if weights and weights != "timm":
        network = network.model_copy(update={"backbone_weights": as_uri(weights)})
    return config.model_copy(
        update={"data": tuple(map(as_uri, config.data)), "storage": as_uri(config.storage), "network": network}
    )


def _best(config: TrainConfig, result: ray.train.Result) -> tuple[ray.train.Checkpoint, dict[str, float]]:
    candidates = result.best_checkpoints or []
    if not candidates:
        raise TrainingError(f"run {config.name} left no checkpoint in {config.storage}")
    scored = [(checkpoint, metrics) for checkpoint, metrics in candidates if f"val/{config.select_by}" in metrics]
    if not scored:
        return max(candidates, key=lambda pair: pair[1]["epoch"])
    sign = 1 if lower_is_better(config.select_by) else -1
    return min(scored, key=lambda pair: sign * pair[1][f"val/{config.select_by}"])


def _publish(checkpoint: ray.train.Checkpoint, folder: str, history: list[dict[str, float]]) -> None:
    filesystem, path = pyarrow.fs.FileSystem.from_uri(folder)
    filesystem.create_dir(path)
    for name in MODEL_FILES:
        pyarrow.fs.copy_files(
            f"{checkpoint.path}/{name}",
            f"{path}/{name}",
            source_filesystem=checkpoint.filesystem,
            destination_filesystem=filesystem,
        )
    with filesystem.open_output_stream(f"{path}/{HISTORY_FILE}") as file:
        file.write(json.dumps(history).encode())


def _history(result: ray.train.Result) -> list[dict[str, float]]:
    latest = result.checkpoint
    if latest is None:
        return []
    with latest.filesystem.open_input_stream(f"{latest.path}/{HISTORY_FILE}") as file:
        history: list[dict[str, float]] = json.loads(file.read())
    return history


def _use_gpu(config: TrainConfig) -> bool:
    if config.workers.gpu != "auto":
        return config.workers.gpu
    return ray.cluster_resources().get("GPU", 0) >= config.workers.count if ray.is_initialized() else False


def _cause(error: BaseException) -> str:
    # Ray puts whole tracebacks of all ranks into the message; the last line is the worker's own error
    text = str(error).strip()
    return re.sub(r"^dbd_ray\.errors\.\w+: ", "", text.splitlines()[-1]) if text else type(error).__name__
