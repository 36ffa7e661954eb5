"""Settings of every stage as frozen pydantic models.

A setting that is unknown, or that would have no effect beside the others, is an error.
"""

from dbd_ray.config.augment import AugmentConfig
from dbd_ray.config.objective import ObjectiveConfig
from dbd_ray.config.settings import Settings, build, merge, parse_overrides, read_yaml
from dbd_ray.config.stages import EngineName, EvaluateConfig, PrepareConfig
from dbd_ray.config.teach import TeachConfig
from dbd_ray.config.train import (
    RECIPES,
    NetworkConfig,
    OptimizerConfig,
    TrainConfig,
    load_train_config,
    train_config,
)
from dbd_ray.config.workers import WorkersConfig

__all__ = [
    "RECIPES",
    "AugmentConfig",
    "EngineName",
    "EvaluateConfig",
    "NetworkConfig",
    "ObjectiveConfig",
    "OptimizerConfig",
    "PrepareConfig",
    "Settings",
    "TeachConfig",
    "TrainConfig",
    "WorkersConfig",
    "build",
    "load_train_config",
    "merge",
    "parse_overrides",
    "read_yaml",
    "train_config",
]
