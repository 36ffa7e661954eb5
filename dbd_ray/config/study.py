"""Settings that sweeps and ablations share: both are many training runs around one."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from dbd_ray.config.settings import Settings, merge
from dbd_ray.config.train import TrainConfig, train_config
from dbd_ray.errors import ConfigError

Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
MeasuredSplit = Literal["val", "test"]


class StudyConfig(Settings):
    """Base of `TuneConfig` and `AblateConfig`."""

    name: str = Field(description="Unique name of the study and its folder; the same name again resumes it.")
    train: TrainConfig = Field(
        description="The run that is varied: settings as of `dbd-ray train`, without name; storage is the study's too."
    )
    concurrent: int | None = Field(
        None, ge=1, description="Runs side by side; null: as many as the cluster has room for when the study starts."
    )

    @field_validator("name")
    @classmethod
    def _is_a_folder_name(cls, name: str) -> str:
        if not re.fullmatch(r"\w[\w.+=-]*", name):
            raise ValueError("becomes a folder's name: use letters, digits and _ . + = - only, none of . + = - first")
        return name

    @property
    def storage(self) -> str:
        """Folder or URI below which the study has its folder."""
        return self.train.storage

    @property
    def data(self) -> tuple[str, ...]:
        """The prepared datasets of all runs."""
        return self.train.data


def with_run(settings: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Lay the `train` part of a study's settings on its recipe.

    Raises:
        ConfigError: It is no mapping, names the run, or is not valid.
    """
    run = settings.get("train", {})
    if not isinstance(run, Mapping):
        raise ConfigError(f"{where}:\n  train: must hold the settings of a training run, found {type(run).__name__}")
    if "name" in run:
        raise ConfigError(f"{where}:\n  train.name: has no effect, runs are named after the study: set name")
    return {**settings, "train": train_config({"name": "run", **run}, where=f"{where}, train")}


def vary(train: TrainConfig, settings: Mapping[str, Any], *, where: str) -> TrainConfig:
    """Lay settings on a run's.

    Args:
        train: The run.
        settings: Nested; they replace the run's.
        where: What to call the result in an error.

    Raises:
        ConfigError: They do not fit the run's others, or do not exist.
    """
    if "recipe" in settings:
        # the run has all its settings already, which go before a recipe's
        raise ConfigError(f"{where}:\n  recipe: has no effect here, vary the settings that it stands for")
    return train_config(merge(train.model_dump(mode="json"), settings), where=where)
