"""The settings that sweeps and ablations share: both train variations of one run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from dbd_ray.config.settings import FolderName, Settings, build, layered, merge
from dbd_ray.config.train import TrainConfig, train_config
from dbd_ray.errors import ConfigError

Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
MeasuredSplit = Literal["val", "test"]
# why a setting of train has no effect, see `StudyConfig.refuse_without_effect`
SEEDS_SAY_IT = ": seeds says what it is"
RUNS_OF_A_GRID = ": runs of a grid or an ablation are not registered"


class StudyConfig(Settings):
    """Base of `TuneConfig` and `AblateConfig`."""

    name: FolderName = Field(description="Unique name of the study and its folder; the same name again resumes it.")
    train: TrainConfig = Field(
        description="The run that is varied: settings as of `dbd-ray train`, without name; storage is the study's too."
    )
    concurrent: int | None = Field(
        None, ge=1, description="Runs side by side; null: as many as the cluster has room for when the study starts."
    )

    def refuse_without_effect(self, setting: str, why: str) -> None:
        """Refuse a setting of `train` that is neither null nor at its default although it decides nothing.

        Args:
            setting: Dotted name of the setting.
            why: End of the sentence "train.SETTING has no effect".

        Raises:
            ValueError: Names the setting.
        """
        *parts, last = setting.split(".")
        section: Any = self.train
        for part in parts:
            section = getattr(section, part)
        default = type(section).model_fields[last].default
        if getattr(section, last) not in (default, None):
            raise ValueError(f"train.{setting} has no effect{why}; remove it, or set it to its default, {default}")

    @property
    def storage(self) -> str:
        """Folder or URI that holds the study's folder."""
        return self.train.storage

    @property
    def data(self) -> tuple[str, ...]:
        """Prepared datasets (folders or URIs) that all runs train on."""
        return self.train.data


AnyStudy = TypeVar("AnyStudy", bound=StudyConfig)


def load_study(
    kind: type[AnyStudy], path: Path | None, options: Mapping[str, Any], overrides: Sequence[str], *, command: str
) -> AnyStudy:
    """Read a study's settings: the file's, then the options', then the overrides'.

    Args:
        kind: Class of the settings.
        path: YAML file, or None.
        options: Settings that the command line's options state.
        overrides: `a.b=c` strings, later ones win.
        command: Name of their source, for errors where there is no file.

    Raises:
        ConfigError: Names the field and what was wrong with it.
    """
    where = str(path or command)
    return build(kind, _with_run(layered(path, options, overrides), where=where), where=where)


def _with_run(settings: Mapping[str, Any], *, where: str) -> dict[str, Any]:
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
        train: Settings of the run.
        settings: Nested settings that replace the run's.
        where: Name of the result, for errors.

    Raises:
        ConfigError: They do not fit the run's others, or do not exist.
    """
    if "recipe" in settings:
        # the run has all its settings already, which go before a recipe's
        raise ConfigError(f"{where}:\n  recipe: has no effect here, vary the settings that it stands for")
    return train_config(merge(train.model_dump(mode="json"), settings), where=where)
