"""The start of every training: gives the finished model of a run's name, or a checked run that is ready to start."""

from dataclasses import dataclass

from dbd_ray.config import TrainConfig
from dbd_ray.training.checks import check_settings
from dbd_ray.training.local_paths import absolute
from dbd_ray.training.run_detectors import RunDetectors
from dbd_ray.training.run_folder import TrainedModel, find_claim, new_key, read_result


@dataclass(frozen=True)
class CheckedRun:
    """A run whose settings fit its data, and whose local detectors are loaded.

    Attributes:
        config: Its settings, with absolute local paths.
        detectors: Detectors that it learns from, and the one that it begins with.
    """

    config: TrainConfig
    detectors: RunDetectors


@dataclass(frozen=True)
class ReadyRun(CheckedRun):
    """A checked run that may start under its name.

    Attributes:
        key: Its identity, which `run_folder.claim_name` records: that of the interrupted run of this name, else new.
    """

    key: str


def open_run(config: TrainConfig) -> TrainedModel | ReadyRun:
    """Look for a finished run of this name; if there is none, check everything that can be checked without Ray.

    Args:
        config: The run; local paths may be relative to the current folder.

    Returns:
        The finished run's model, or the run, ready for `trainer.train`.

    Raises:
        ConfigError: A run of this name exists with other settings; or the settings do not fit the data, or name weights
            or local detectors that are missing, damaged, or of another network.
        DatasetError: A prepared dataset is missing, or they were prepared at different sizes.
    """
    settings = absolute(config)
    key = find_claim(settings)
    finished = read_result(settings) if key else None
    if finished:
        return finished
    checked = check_run(config)
    return ReadyRun(checked.config, checked.detectors, key or new_key())


def check_run(config: TrainConfig) -> CheckedRun:
    """Check a run's settings and data, and load its local detectors, whatever its name (arguments as of `open_run`).

    Raises:
        ConfigError: The settings do not fit the data, or name weights or local detectors that are missing, damaged, or
            of another network.
        DatasetError: A prepared dataset is missing, or they were prepared at different sizes.
    """
    check_settings(config)  # as given, so that errors show paths as they were written
    settings = absolute(config)
    return CheckedRun(settings, RunDetectors(settings))
