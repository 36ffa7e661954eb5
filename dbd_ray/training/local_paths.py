"""Absolute local paths in a run's settings: Ray's workers run in folders of their own."""

from typing import Any

from dbd_ray.checkpoints.find import packaged_models
from dbd_ray.config import NetworkConfig, TrainConfig
from dbd_ray.storage import as_uri


def absolute(config: TrainConfig) -> TrainConfig:
    """Return a run's settings with absolute local paths; URIs and names of models stay as they are."""
    objective, scheme = config.objective, config.objective.adversarial
    teachers = absolute_value("objective.teacher_checkpoints", objective.teacher_checkpoints)
    if scheme.teacher is not None:
        scheme = scheme.model_copy(update={"teacher": _absolute_network(scheme.teacher)})
    return config.model_copy(
        update={
            "data": tuple(map(as_uri, config.data)),
            "storage": as_uri(config.storage),
            "network": _absolute_network(config.network),
            "start_from": absolute_value("start_from", config.start_from),
            "objective": objective.model_copy(update={"teacher_checkpoints": tuple(teachers), "adversarial": scheme}),
        }
    )


def absolute_value(setting: str, value: Any) -> Any:
    """Return the value of one setting, absolute where it is a local path or a list of such.

    Args:
        setting: Dotted name of a setting of a run other than `data` and `storage`.
        value: Its value, which need not have been validated.
    """
    match setting, value:
        case (("network.backbone_weights" | "objective.adversarial.teacher.backbone_weights"), str()) if value not in (
            "",
            "timm",
        ):
            return as_uri(value)
        case "start_from", str():
            return absolute_checkpoint(value)
        case "objective.teacher_checkpoints", list() | tuple():
            return [absolute_checkpoint(each) if isinstance(each, str) else each for each in value]
    return value


def _absolute_network(network: NetworkConfig) -> NetworkConfig:
    weights = absolute_value("network.backbone_weights", network.backbone_weights)
    return network.model_copy(update={"backbone_weights": weights})


def absolute_checkpoint(checkpoint: str) -> str:
    """Make a local path absolute; the name of a packaged model and a models:/ URI stay as they are."""
    return checkpoint if checkpoint in packaged_models() else as_uri(checkpoint)
