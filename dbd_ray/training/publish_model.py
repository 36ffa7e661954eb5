"""Publishing a run's best checkpoint as the model that users load: in its folder, and in MLflow."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pyarrow.fs

from dbd_ray.checkpoints.files import CARD, WEIGHTS, is_staged, read_card, staged_names
from dbd_ray.config import TrainConfig
from dbd_ray.registration import log_model, register
from dbd_ray.tracking.runs import RunLog
from dbd_ray.training.run_folder import model_folder, teacher_folder
from dbd_ray.training.state import HISTORY_FILE


def publish_models(
    source: pyarrow.fs.FileSystem,
    checkpoint: str,
    teacher: str,
    config: TrainConfig,
    history: Sequence[dict[str, float]],
) -> None:
    """Publish a run's model in its folder and, if one was trained together with it, its teacher in another.

    Args:
        source: File system of the checkpoints.
        checkpoint: Folder of the model's checkpoint.
        teacher: Folder of the teacher's, if there is one.
        config: The run, with absolute paths.
        history: Metrics of every epoch, written beside each.
    """
    target, folder = pyarrow.fs.FileSystem.from_uri(model_folder(config))
    publish_model(source, checkpoint, target, folder, history)
    if source.get_file_info(f"{teacher}/{CARD}").type is pyarrow.fs.FileType.File:
        target, folder = pyarrow.fs.FileSystem.from_uri(teacher_folder(config))
        publish_model(source, teacher, target, folder, history)


def publish_model(
    source: pyarrow.fs.FileSystem,
    checkpoint: str,
    target: pyarrow.fs.FileSystem,
    folder: str,
    history: Sequence[dict[str, float]],
) -> None:
    """Copy a model so that a crash at any moment leaves either the old one or the new one (see `save_checkpoint`).

    Args:
        source: File system of the checkpoint.
        checkpoint: Folder of the checkpoint.
        target: File system of the published model.
        folder: Folder of the published model, made if need be; a model in it is replaced.
        history: Metrics of every epoch, written beside the model.
    """
    target.create_dir(folder)
    names = (CARD, WEIGHTS, HISTORY_FILE)  # the card comes first: it decides, and the waiting weights are found by it
    staged = dict(zip(names, staged_names(*names), strict=True))
    for name in (CARD, WEIGHTS):
        pyarrow.fs.copy_files(
            f"{checkpoint}/{name}", f"{folder}/{staged[name]}", source_filesystem=source, destination_filesystem=target
        )
    with target.open_output_stream(f"{folder}/{staged[HISTORY_FILE]}") as file:
        file.write(json.dumps(history).encode())
    for name in names:
        target.move(f"{folder}/{staged[name]}", f"{folder}/{name}")
    for left in target.get_file_info(pyarrow.fs.FileSelector(folder)):
        if is_staged(PurePosixPath(left.path)):
            target.delete_file(left.path)


def record_model(log: RunLog, source: pyarrow.fs.FileSystem, checkpoint: str, registered_model: str | None) -> str:
    """Store a model in its MLflow run, and register it.

    Args:
        log: The MLflow run.
        source: File system of the checkpoint.
        checkpoint: Folder of the checkpoint.
        registered_model: Name in the registry; None: it is not registered.

    Returns:
        One line for people: where the model is.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in (CARD, WEIGHTS):
            pyarrow.fs.copy_files(
                f"{checkpoint}/{name}",
                f"{folder}/{name}",
                source_filesystem=source,
                destination_filesystem=pyarrow.fs.LocalFileSystem(),
            )
        log_model(log, Path(folder))
        if registered_model is None:
            return "the model is in its MLflow run, and not registered"
        return f"registered as {register(log, read_card(Path(folder)), registered_model).uri}"


def read_history(filesystem: pyarrow.fs.FileSystem, checkpoint: str) -> list[dict[str, float]]:
    """Read the metrics of every epoch from a checkpoint of training."""
    with filesystem.open_input_stream(f"{checkpoint}/{HISTORY_FILE}") as file:
        history: list[dict[str, float]] = json.loads(file.read())
    return history
