"""Starting weights of a run: random ones, those of a backbone, or those of a whole detector (fine-tuning)."""

from typing import Any, NamedTuple

import torch

from dbd_ray.config import NetworkConfig, TrainConfig
from dbd_ray.errors import ConfigError
from dbd_ray.models import FocusNetwork, build_network
from dbd_ray.training.detector_teachers import load_named

_OF_TRAINING_ONLY = ("drop_rate", "drop_path_rate")  # backbone options that change neither weights nor maps


class Start(NamedTuple):
    """A detector to begin with.

    Attributes:
        name: The detector's name@fingerprint, the latter's first 16 digits.
        weights: State dict of its network, on the CPU.
    """

    name: str
    weights: dict[str, torch.Tensor]


def load_start(config: TrainConfig, registry: str | None = None) -> Start | None:
    """Load the detector that `start_from` names, None if it names none.

    Args:
        config: The run; the path may be relative to the current folder.
        registry: URI of the MLflow registry for models:/ URIs; None: the one that MLFLOW_TRACKING_URI names.

    Raises:
        ConfigError: It is missing, damaged, or of another network; names the settings that differ.
    """
    if config.start_from is None:
        return None
    name, network, card = load_named(config.start_from, registry, setting="start_from")
    theirs, ours = _function(card.network), _function(config.network)
    if differing := [f"{field}={theirs[field]!r}" for field in ours if theirs[field] != ours[field]]:
        raise ConfigError(
            f"start_from: {config.start_from} is another network; set network.{', network.'.join(differing)}"
        )
    return Start(name, network.state_dict())


def starting_network(config: TrainConfig, start: Start | None) -> FocusNetwork:
    """Build a run's network with the weights that it begins with.

    Args:
        config: The run.
        start: The detector to begin with, see `load_start`; None: weights are those that `config.network` names.

    Raises:
        CheckpointError: The backbone's weights cannot be loaded.
    """
    network = build_network(config.network)
    if start:
        network.load_state_dict(start.weights)
    return network


def _function(config: NetworkConfig) -> dict[str, Any]:
    settings = config.model_dump(exclude={"backbone_weights"})
    options = settings["backbone_options"]
    return {**settings, "backbone_options": {name: options[name] for name in options if name not in _OF_TRAINING_ONLY}}
