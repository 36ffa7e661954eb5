"""The winner of a sweep: the best point's run at full length, which may be a trial already."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.fs

from dbd_ray.checkpoints.files import read_card
from dbd_ray.config import TrainConfig, TuneConfig, unflatten, vary
from dbd_ray.registration import register
from dbd_ray.storage import open_storage
from dbd_ray.tracking.runs import RunLog, attempt
from dbd_ray.training.publish_model import publish_models
from dbd_ray.training.run_folder import (
    MODEL_FILES,
    TrainedModel,
    claim_name,
    find_claim,
    finished_run,
    model_folder,
    new_key,
    read_result,
    teacher_folder,
    write_result,
)


def winner_run(config: TuneConfig, point: Mapping[str, Any]) -> TrainConfig:
    """Make the run of the best point at full length: an ordinary one, beside the sweep's folder."""
    return vary(config.train, {**unflatten(point), "name": f"{config.name}-winner"}, where=f"{config.name}, winner")


def take_trial(trial: TrainConfig, winner: TrainConfig, *, on_event: Callable[[str], Any]) -> TrainedModel | None:
    """Take the best trial as the winner if it was trained for as many epochs: training it again would give the same.

    Its model is published in the winner's folder, and registered from the trial's MLflow run.

    Args:
        trial: The best trial's run, with absolute paths.
        winner: The winner's run, with absolute paths.
        on_event: Called with lines of text.

    Returns:
        The winner; None where it has to be trained.

    Raises:
        ConfigError: A run of the winner's name has other settings.
    """
    if trial.epochs != winner.epochs:
        return None
    key = find_claim(winner)
    if key and (finished := read_result(winner)):
        return finished
    trained = finished_run(trial)
    if trained is None:
        return None
    claim_name(winner, key or new_key())
    source, checkpoint = pyarrow.fs.FileSystem.from_uri(model_folder(trial))
    _, teacher = pyarrow.fs.FileSystem.from_uri(teacher_folder(trial))
    publish_models(source, checkpoint, teacher, winner, trained.history)
    taken = trained._replace(folder=model_folder(winner))
    attempt(lambda: _register(trained, winner.registered_model, on_event), on_event)
    write_result(winner, taken)
    on_event(f"{trial.name} has all {winner.epochs} epochs and is the winner as it is")
    return taken


def _register(trained: TrainedModel, name: str | None, on_event: Callable[[str], Any]) -> None:
    if name is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        storage, path = open_storage(trained.folder)
        for file in MODEL_FILES:
            storage.get_file(f"{path}/{file}", str(Path(folder) / file))
        log = RunLog(trained.tracking_uri, trained.run_id)  # in which the trial's training has stored the model
        on_event(f"registered as {register(log, read_card(Path(folder)), name).uri}")
