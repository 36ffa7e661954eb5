"""Studies of many runs: checked before anything starts, recorded in one MLflow run, and run on Ray Tune."""

import json
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, Generic, NamedTuple

import ray
from ray import tune
from ray.tune import PlacementGroupFactory
from ray.tune.schedulers import ASHAScheduler
from ray.util.state import list_nodes
from ray.util.state.exception import RayStateApiException

from dbd_ray.config import MeasuredSplit, StudyConfig, TrainConfig, TuneConfig, flatten, unflatten
from dbd_ray.config.study import AnyStudy
from dbd_ray.datasets.prepared import read_info
from dbd_ray.errors import ConfigError, DatasetError
from dbd_ray.storage import list_folder, open_storage
from dbd_ray.tracking.runs import Kind, RunLog, attempt, tracking_uri
from dbd_ray.tracking.store import require_store
from dbd_ray.training.checks import check_settings, check_store, check_workers, room_for
from dbd_ray.training.local_paths import absolute, absolute_value
from dbd_ray.training.provenance import used_data
from dbd_ray.training.run_detectors import check_detectors
from dbd_ray.training.run_folder import KEY_FIELD, SETTINGS_FILE, claim_name, find_claim, new_key
from dbd_ray.training.trainer import connect, uses_gpu
from dbd_ray.tuning.quiet import quiet_tune
from dbd_ray.tuning.recorder import TRIAL_TAG, Recorder
from dbd_ray.tuning.trial import Plan, run_trial

DRIVER_BYTES = 512 * 2**20  # of the process that starts a run; a CPU of its own would be one that its workers need
SEARCH = "search"  # folder of Ray Tune's own record; a study that searches has one


class ReadyStudy(NamedTuple, Generic[AnyStudy]):
    """A study that is checked as far as that is possible without Ray.

    Attributes:
        config: Its settings, with absolute paths.
        key: Its identity: that of the interrupted study of this name, else new.
    """

    config: AnyStudy
    key: str


class Study(NamedTuple):
    """A study that has started.

    Attributes:
        folder: Folder or URI of everything that it writes.
        log: Its MLflow run.
        concurrent: Number of runs that go on side by side.
    """

    folder: str
    log: RunLog
    concurrent: int


def folder_of(config: StudyConfig) -> str:
    """Return the folder of a study's runs, its tables and charts, and Ray Tune's own state."""
    return f"{config.storage}/{config.name}"


def absolute_study(config: StudyConfig) -> Any:
    """Return a study's settings with absolute local paths; its runs start in folders of their own."""
    settings: dict[str, Any] = {"train": absolute(config.train)}
    if isinstance(config, TuneConfig):
        if config.search is not None:
            settings["search"] = _absolute_values(config.search, choices=True)
        settings["first"] = tuple(_absolute_values(point, choices=False) for point in config.first)
    return config.model_copy(update=settings)


def _absolute_values(values: Mapping[str, Any], *, choices: bool) -> dict[str, Any]:
    absolute_values = {}
    for name, value in flatten(values).items():
        listed = choices and isinstance(value, list | tuple)
        absolute_values[name] = (
            [absolute_value(name, each) for each in value] if listed else absolute_value(name, value)
        )
    return unflatten(absolute_values)


def ready_study(config: AnyStudy, runs: Sequence[TrainConfig], *, split: MeasuredSplit) -> ReadyStudy[AnyStudy]:
    """Check, without Ray, a study's settings and data, and the detectors that its runs name.

    Args:
        config: The study, with absolute paths.
        runs: Its runs, or enough of them to stand for all.
        split: The split on whose rows runs are compared.

    Raises:
        ConfigError: A study of this name has other settings, or settings do not fit the data, or name weights or
            detectors that are not there; or MLflow's store does not work.
        DatasetError: A prepared dataset is missing, or has no rows of the split.
    """
    key = find_claim(config) or new_key()
    if not any(read_info(location).rows.get(split) for location in config.data):
        raise DatasetError(
            ", ".join(config.data), [f"no rows of split {split!r} to compare the runs on; prepare again"]
        )
    for run in runs:
        check_settings(run)
    uri = tracking_uri(config.storage)
    require_store(uri)
    check_detectors(runs, uri)
    return ReadyStudy(config, key)


def start_study(ready: ReadyStudy[Any], *, dashboard: bool = False) -> Study:
    """Check a study against the cluster before any run starts; then take its name and open its MLflow run.

    Args:
        ready: The study.
        dashboard: Whether runs may be stopped early, which needs Ray's dashboard.

    Raises:
        ConfigError: Settings do not fit the cluster.
    """
    config = ready.config
    uri = tracking_uri(config.storage)
    connect()
    check_store(uri, ray.nodes())
    concurrent = _concurrent(config)
    if dashboard:
        require_dashboard()
    log = RunLog.open(uri, config.name, key=ready.key, params=config.model_dump(mode="json"))
    log.tags({f"data.{i}.fingerprint": read_info(data).fingerprint for i, data in enumerate(config.data)})
    kind: Kind = "tune" if isinstance(config, TuneConfig) else "ablate"
    log.describe(kind, f"{config.train.epochs} epochs of {', '.join(config.data)}", used_data(config.data, "training"))
    claim_name(config, ready.key)
    return Study(folder_of(config), log, concurrent)


def require_dashboard() -> None:
    """Refuse a cluster without dashboard: Ray Train asks there which stopped runs hold resources, and frees them.

    Raises:
        ConfigError: It does not answer.
    """
    try:
        list_nodes(limit=1)
    except (RayStateApiException, OSError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"this cluster's dashboard does not answer ({reason}): without it, trials that are stopped early hold "
            "their CPUs for ever; start Ray with --include-dashboard=true"
        ) from None


@contextmanager
def ending(study: Study, on_event: Callable[[str], Any]) -> Iterator[None]:
    """Mark the study's MLflow run as failed where an error or an interruption ends the study."""
    try:
        yield
    except BaseException:
        attempt(lambda: study.log.finish(failed=True), on_event)
        raise


def run_trials(
    study: Study,
    plan: Plan,
    *,
    metric: str,
    split: MeasuredSplit,
    on_event: Callable[[str], Any],
    resume: bool,
    scheduler: ASHAScheduler | None = None,
    **settings: Any,
) -> Recorder:
    """Run a study's trials on Ray Tune; one that fails does not end the others.

    Args:
        study: From `start_study`.
        plan: Makes a trial's run from its point and its ID.
        metric: Name of the value that is reported of every epoch, e.g. val/mae.
        split: The split on whose rows finished runs are measured.
        on_event: Called with a line of text now and then.
        resume: Go on with the search that was interrupted, if there was one; else trials are new.
        scheduler: Stops trials early; None: nothing does.
        settings: Further arguments of ray.tune.run.

    Returns:
        The record of every trial.

    Raises:
        KeyboardInterrupt: Ray Tune was interrupted; the same call goes on.
    """
    recorder = Recorder(plan, study.log, metric=metric, on_event=on_event, scheduler=scheduler)
    parent = {"uri": study.log.uri, "run_id": study.log.run_id}
    with quiet_tune():
        tune.run(
            tune.with_parameters(run_trial, plan=plan, parent=parent, split=split),
            name=SEARCH if resume else uuid.uuid4().hex[:8],
            storage_path=f"{study.folder}/tune",
            resources_per_trial=PlacementGroupFactory([{"memory": DRIVER_BYTES}]),
            max_concurrent_trials=study.concurrent,
            resume="AUTO+ERRORED" if resume and _has_record(f"{study.folder}/tune/{SEARCH}") else None,
            raise_on_failed_trial=False,
            scheduler=scheduler,
            callbacks=[recorder],
            trial_dirname_creator=lambda trial: trial.trial_id,
            verbose=0,
            **settings,
        )
    if recorder.unfinished():
        raise KeyboardInterrupt
    return recorder


def end_forgotten(study: Study, known: Collection[str]) -> None:
    """Mark as failed the MLflow runs of trials that began after Ray Tune's last record before an interruption.

    Args:
        study: The study that the trials belong to.
        known: Names of the runs that Ray Tune knows.
    """
    storage, folder = open_storage(f"{study.folder}/trials")
    for path in storage.ls(folder, detail=False):
        name = PurePosixPath(path).name
        claim = f"{path}/{SETTINGS_FILE}"
        if name in known or not storage.exists(claim):
            continue
        log = RunLog.open(study.log.uri, name, key=json.loads(storage.cat_file(claim))[KEY_FIELD])
        log.tags({TRIAL_TAG: "forgotten"})
        log.finish(failed=True)


def _has_record(folder: str) -> bool:
    return any(name.startswith("experiment_state-") for name, _ in list_folder(*open_storage(folder)) or [])


def _concurrent(config: StudyConfig) -> int:
    train, use_gpu = config.train, uses_gpu(config.train)
    check_workers(train.workers, ray.nodes(), use_gpu=use_gpu)
    room = room_for(train.workers, ray.nodes(), use_gpu=use_gpu) // train.workers.fewest
    if config.concurrent is None:
        return max(1, room)
    if config.concurrent > room and not train.workers.wait_for_nodes:
        raise ConfigError(
            f"concurrent={config.concurrent}: the cluster has room for {room} run(s) of {train.workers.fewest} "
            f"worker(s) with {train.workers.cpus:g} CPU each; lower it, or set train.workers.wait_for_nodes=true where "
            "the cluster adds nodes by itself"
        )
    return config.concurrent
