"""Local paths in a run's settings, made absolute: Ray's workers run in folders of their own."""

from typing import Any

from dbd_ray.config import TrainConfig
from dbd_ray.storage import as_uri
from dbd_ray.training.detector_teachers import absolute_checkpoint


def absolute(config: TrainConfig) -> TrainConfig:
    """Give the settings of a run with its local paths absolute; URIs and names of models stay."""
    network, objective = config.network, config.objective
    weights = absolute_value("network.backbone_weights", network.backbone_weights)
    teachers = absolute_value("objective.teacher_checkpoints", objective.teacher_checkpoints)
    return config.model_copy(
        update={
            "data": tuple(map(as_uri, config.data)),
            "storage": as_uri(config.storage),
            "network": network.model_copy(update={"backbone_weights": weights}),
            "start_from": absolute_value("start_from", config.start_from),
            "objective": objective.model_copy(update={"teacher_checkpoints": tuple(teachers)}),
        }
    )


def absolute_value(setting: str, value: Any) -> Any:
    """Give the value of a setting, absolute where it is a local path or a list of such.

    Args:
        setting: Dotted name of a setting of a run other than `data` and `storage`.
        value: Not validated yet, perhaps.
    """
    match setting, value:
        case "network.backbone_weights", str() if value not in ("", "timm"):
            return as_uri(value)
        case "start_from", str():
            return absolute_checkpoint(value)
        case "objective.teacher_checkpoints", list() | tuple():
            return [absolute_checkpoint(each) if isinstance(each, str) else each for each in value]
    return value
