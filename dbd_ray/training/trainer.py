"""Starting and resuming a training run on Ray, tracked in MLflow."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import ray
import ray.train
from ray.train import CheckpointConfig, DataConfig, FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchTrainer
from ray.util.queue import Queue

from dbd_ray.config import TrainConfig
from dbd_ray.datasets.prepared import read_info
from dbd_ray.errors import DbdRayError, TrainingError
from dbd_ray.metrics import lower_is_better
from dbd_ray.names import Split
from dbd_ray.tracking.runs import PARENT_TAG, RunLog, attempt, tracking_uri
from dbd_ray.tracking.store import require_store
from dbd_ray.training.cached_rows import read_split
from dbd_ray.training.checks import check_store, check_workers
from dbd_ray.training.ingest import choose_ingest
from dbd_ray.training.open_run import CheckedRun, ReadyRun, check_run, open_run
from dbd_ray.training.provenance import describe_data, used_data
from dbd_ray.training.publish_model import publish_models, read_history, record_model
from dbd_ray.training.reporting import Event, listening
from dbd_ray.training.run_folder import TEACHER, TrainedModel, claim_name, model_folder, write_result
from dbd_ray.training.worker import WorkerSettings, train_loop_per_worker


def train(
    run: TrainConfig | ReadyRun,
    *,
    on_event: Callable[[Event], Any] = lambda event: None,
    parent: RunLog | None = None,
    callbacks: Sequence[UserCallback] = (),
) -> TrainedModel:
    """Train, or go on with an interrupted run of the same name, and keep the best epoch's model.

    A run that is finished already is not repeated: its result is returned at once.

    Args:
        run: What `open_run` returned, or settings to open; their `data` and `storage` may be relative to the current
            folder.
        on_event: Called with a `Progress` about twice a second and with lines of text now and then, mostly from
            another thread.
        parent: The MLflow run of the study that this run is one of many of; it is recorded below it, in its store.
        callbacks: Callbacks of Ray Train, e.g. to report to Ray Tune.

    Raises:
        ConfigError: A run of this name exists with other settings, settings do not fit the cluster or data, or MLflow's
            store does not work.
        TrainingError: Training failed; the last epoch's checkpoint remains.
    """
    opened = open_run(run) if isinstance(run, TrainConfig) else run
    if isinstance(opened, TrainedModel):
        return opened
    config = opened.config
    uri = parent.uri if parent else tracking_uri(config.storage)
    require_store(uri)
    connect()
    check_store(uri, ray.nodes())
    fingerprints = {f"data.{i}.fingerprint": read_info(data).fingerprint for i, data in enumerate(config.data)}
    log = RunLog.open(uri, config.name, key=opened.key, params=config.model_dump(mode="json"))
    log.tags(fingerprints | ({PARENT_TAG: parent.run_id} if parent else {}))
    network = config.network
    about = f"{network.architecture} on {network.backbone}, {config.epochs} epochs of {', '.join(config.data)}"
    log.describe("trial" if parent else "train", about, used_data(config.data, "training"))
    try:
        with listening(on_event) as progress:
            trainer = _torch_trainer(opened, mlflow_run=log, progress=progress, callbacks=list(callbacks))
            claim_name(config, opened.key)  # only now: settings that do not fit the data must not hold the name
            result = _fit(trainer)
    except KeyboardInterrupt:
        _attempt(lambda: log.finish(failed=True), on_event)
        raise
    except (ray.train.TrainingFailedError, DbdRayError) as error:
        _attempt(lambda: log.finish(failed=True), on_event)
        if isinstance(error, DbdRayError):
            raise
        raise TrainingError(f"run {config.name} failed: {cause_of(error)}") from error
    return _publish(config, result, log, on_event)


def _fit(trainer: TorchTrainer) -> ray.train.Result:
    try:
        return trainer.fit()
    except SystemExit:  # with which Ray Train's own handler of Ctrl-C ends this process as if all were done
        raise KeyboardInterrupt from None


def _publish(
    config: TrainConfig, result: ray.train.Result, log: RunLog, on_event: Callable[[Event], Any]
) -> TrainedModel:
    def on_model_failure(problem: str) -> None:
        on_event(
            f"{problem}; the model is in {model_folder(config)} alone, and `dbd-ray evaluate --promote` can register it"
        )

    best, metrics = _best(config, result)
    latest = result.checkpoint or best
    history = read_history(latest.filesystem, latest.path)
    publish_models(best.filesystem, best.path, f"{best.path}/{TEACHER}", config, history)
    trained = TrainedModel(model_folder(config), metrics, history, log.run_id, log.uri)
    _attempt(lambda: log.missing_metrics(history), on_event)
    attempt(lambda: on_event(record_model(log, best.filesystem, best.path, config.registered_model)), on_model_failure)
    _attempt(log.finish, on_event)
    write_result(config, trained)  # last: a run that was cut off before is recorded when it is started again
    return trained


def _attempt(step: Callable[[], Any], on_event: Callable[[Event], Any]) -> None:
    attempt(step, lambda problem: on_event(f"{problem}; the run goes on"))


def _best(config: TrainConfig, result: ray.train.Result) -> tuple[ray.train.Checkpoint, dict[str, float]]:
    candidates = result.best_checkpoints or []
    if not candidates:
        raise TrainingError(f"run {config.name} left no checkpoint in {config.storage}")
    measured = any(f"val/{config.select_by}" in metrics for _, metrics in candidates)
    score, order = kept_by(config, has_val=measured)
    scored = [(checkpoint, metrics) for checkpoint, metrics in candidates if score in metrics]
    sign = 1 if order == "min" else -1
    return min(scored, key=lambda pair: sign * pair[1][score])


def kept_by(config: TrainConfig, *, has_val: bool) -> tuple[str, Literal["min", "max"]]:
    """Tell by which reported value an epoch is kept, and whether the lowest or the highest is."""
    if config.keep == "last" or not has_val:
        return "epoch", "max"
    return f"val/{config.select_by}", "min" if lower_is_better(config.select_by) else "max"


def make_trainer(
    config: TrainConfig, *, mlflow_run: RunLog | None = None, progress: Queue | None = None, **run_config: Any
) -> TorchTrainer:
    """Build the TorchTrainer of a run; also for other people's Tuners and pipelines.

    Args:
        config: The run.
        mlflow_run: The MLflow run in which rank 0 logs every epoch; None: nowhere.
        progress: A queue of `reporting.listening`; None: the first worker prints its progress.
        run_config: Further arguments of ray.train.RunConfig, e.g. callbacks; `failure_config` goes before
            `workers.max_failures`.

    Raises:
        ConfigError: The settings do not fit the data or the cluster.
        DatasetError: A prepared dataset is missing or incomplete, or they were prepared at different sizes.
    """
    return _torch_trainer(check_run(config), mlflow_run=mlflow_run, progress=progress, **run_config)


def _torch_trainer(
    run: CheckedRun, *, mlflow_run: RunLog | None, progress: Queue | None, **run_config: Any
) -> TorchTrainer:
    config = run.config
    connect()
    use_gpu = uses_gpu(config)
    check_workers(config.workers, ray.nodes(), use_gpu=use_gpu)
    ingest = choose_ingest(config)
    # loaded in the driver, where their paths are known, and shipped: a worker's node need not have the files
    teachers, start = run.detectors.take(mlflow_run.uri if mlflow_run else tracking_uri(config.storage))
    settings: WorkerSettings = {
        "train": config.model_dump(mode="json"),
        "data": describe_data(config),
        "ingest": (ingest.kind, ingest.reason),
        "teachers": ray.put(teachers) if teachers else None,
        "start": ray.put(start) if start else None,
        "mlflow": {"uri": mlflow_run.uri, "run_id": mlflow_run.run_id} if mlflow_run else None,
        "progress": progress,
    }
    has_val = any("val" in read_info(location).rows for location in config.data)
    splits: tuple[Split, ...] = ("train", "val") if has_val else ("train",)
    cached = splits if ingest.kind == "cached" else ()
    datasets: dict[str, Any] = {split: read_split(config.data, split) for split in cached}
    score, order = kept_by(config, has_val=has_val)
    loop: Any = train_loop_per_worker  # Ray's own annotation leaves out typed dicts
    count: Any = config.workers.count  # and (fewest, most), which makes it elastic
    run_config["callbacks"] = [*run_config.get("callbacks", []), StopAtOwnErrors()]
    run_config.setdefault("failure_config", FailureConfig(max_failures=config.workers.max_failures))
    return TorchTrainer(
        loop,
        train_loop_config=dict(settings),
        scaling_config=ScalingConfig(
            num_workers=count,
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


class StopAtOwnErrors(UserCallback):
    """Ends a run at an error of this package, e.g. a loss that is not finite: from the same epoch it would come again.

    After any other failure Ray Train replaces the workers, and they go on from the last epoch.
    """

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raise an error of this package again: Ray Train does not retry what a callback raises."""
        for error in worker_exceptions.values():
            if isinstance(error, DbdRayError):
                raise error


def connect() -> None:
    """Connect to the cluster of RAY_ADDRESS, or start Ray here, unless that was done."""
    if not ray.is_initialized():
        ray.init()


def uses_gpu(config: TrainConfig) -> bool:
    """Whether the run's workers get a GPU each, on the cluster that is connected."""
    if config.workers.gpu != "auto":
        return config.workers.gpu
    return bool(ray.cluster_resources().get("GPU", 0) >= config.workers.fewest)


def cause_of(error: BaseException | str) -> str:
    """Take the message of a worker's own error out of an error that Ray wrapped, or out of its text."""
    if isinstance(error, ray.train.ControllerError):
        return str(error.controller_failure)
    # Ray puts whole tracebacks of all ranks into the message; the last line is the worker's own error
    text = str(error).strip()
    return re.sub(r"^dbd_ray\.errors\.\w+: ", "", text.splitlines()[-1]) if text else type(error).__name__
