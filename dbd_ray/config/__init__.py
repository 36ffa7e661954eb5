"""Settings of every stage as frozen pydantic models.

A setting that is unknown, or that would have no effect beside the others, is an error.
"""

from dbd_ray.config.ablate import VARIANTS, AblateConfig, load_ablate_config
from dbd_ray.config.annotate import AnnotateConfig
from dbd_ray.config.augment import AugmentConfig
from dbd_ray.config.network import NetworkConfig
from dbd_ray.config.objective import ObjectiveConfig
from dbd_ray.config.predict import PredictConfig
from dbd_ray.config.search import Choice, Range, Space
from dbd_ray.config.serve import ServeConfig
from dbd_ray.config.settings import Settings, build, flatten, layered, merge, parse_overrides, read_yaml, unflatten
from dbd_ray.config.stages import EvaluateConfig, MeasuredSet, PrepareConfig
from dbd_ray.config.study import MeasuredSplit, StudyConfig, vary
from dbd_ray.config.teach import TeachConfig
from dbd_ray.config.train import (
    RECIPES,
    OptimizerConfig,
    TrainConfig,
    load_train_config,
    train_config,
)
from dbd_ray.config.tune import PAPER_GAMMAS, TuneConfig, load_tune_config
from dbd_ray.config.workers import WorkersConfig

__all__ = [
    "PAPER_GAMMAS",
    "RECIPES",
    "VARIANTS",
    "AblateConfig",
    "AnnotateConfig",
    "AugmentConfig",
    "Choice",
    "EvaluateConfig",
    "MeasuredSet",
    "MeasuredSplit",
    "NetworkConfig",
    "ObjectiveConfig",
    "OptimizerConfig",
    "PredictConfig",
    "PrepareConfig",
    "Range",
    "ServeConfig",
    "Settings",
    "Space",
    "StudyConfig",
    "TeachConfig",
    "TrainConfig",
    "TuneConfig",
    "WorkersConfig",
    "build",
    "flatten",
    "layered",
    "load_ablate_config",
    "load_train_config",
    "load_tune_config",
    "merge",
    "parse_overrides",
    "read_yaml",
    "train_config",
    "unflatten",
    "vary",
]
