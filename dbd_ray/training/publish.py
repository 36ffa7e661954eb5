"""Publishing a run's best checkpoint as the model that users load."""

import json
from collections.abc import Sequence
from pathlib import PurePosixPath

import pyarrow.fs

from dbd_ray.checkpoints import CARD, WEIGHTS, is_staged, staged_names
from dbd_ray.training.state import HISTORY_FILE


def publish_model(
    source: pyarrow.fs.FileSystem,
    checkpoint: str,
    target: pyarrow.fs.FileSystem,
    folder: str,
    history: Sequence[dict[str, float]],
) -> None:
    """Copy a model so that a crash at any moment leaves either the old one or the new one (see `save_checkpoint`).

    Args:
        source: Where the checkpoint is.
        checkpoint: Its folder.
        target: Where the model goes.
        folder: Its folder, made if need be; a model in it is replaced.
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


def read_history(filesystem: pyarrow.fs.FileSystem, checkpoint: str) -> list[dict[str, float]]:
    """Read the metrics of every epoch from a checkpoint of training."""
    with filesystem.open_input_stream(f"{checkpoint}/{HISTORY_FILE}") as file:
        history: list[dict[str, float]] = json.loads(file.read())
    return history
