"""Settings of an ablation: which variants of the network are trained, on which backbones, with which seeds."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from dbd_ray.config.settings import flatten
from dbd_ray.config.study import RUNS_OF_A_GRID, SEEDS_SAY_IT, MeasuredSplit, Seeds, StudyConfig, load_study

VariantName = Literal["FCN", "+D", "+D+SRFB", "+D+RFB+SA", "full"]

# Table 2 of the paper; the field block of the run decides nothing, its gamma does
VARIANTS: dict[VariantName, dict[str, Any]] = {
    "FCN": {"network": {"depth": False, "srfb": "none", "branches": 4, "sab": False}, "objective": {"depth_weight": 0}},
    "+D": {"network": {"depth": True, "srfb": "none", "branches": 4, "sab": False}},
    "+D+SRFB": {"network": {"depth": True, "srfb": "srfb", "sab": False}},
    "+D+RFB+SA": {"network": {"depth": True, "srfb": "rfb", "sab": True}},
    "full": {"network": {"depth": True, "srfb": "srfb", "sab": True}},
}


# settings of a run that cannot differ by backbone, and why
_NOT_OF_BACKBONES = {
    "name": "runs are named after the study, the backbone, the variant and the seed",
    "seed": "seeds says what it is",
    "storage": "all runs are in the study's folder",
    "data": "all rows of the table are of the same data, set train.data",
    "workers": "room is made for train.workers, set them there",
    "registered_model": "runs of an ablation are not registered",
    "network.depth": "the variants say what it is",
    "network.srfb": "the variants say what it is",
    "network.sab": "the variants say what it is",
}


class AblateConfig(StudyConfig):
    """Table 2 of the paper: every variant on every backbone with every seed, at full length, in one table."""

    backbones: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Settings of train by label, e.g. {VGG16: {network: {backbone: vgg16}}}; none: train's backbone.",
    )
    variants: tuple[VariantName, ...] = Field(
        tuple(VARIANTS), min_length=1, description="Which rows of the table; all by default."
    )
    seeds: Seeds = Field((0, 1, 2), description="Seeds of each variant's runs.")
    split: MeasuredSplit = Field("test", description="On which rows the finished runs are measured.")

    @field_validator("variants", "seeds")
    @classmethod
    def _each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError("each may be named once only")
        return values

    @field_validator("backbones")
    @classmethod
    def _are_parts_of_folder_names(cls, backbones: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for label in backbones:
            if not re.fullmatch(r"[\w.+=-]+", label):
                raise ValueError(f"{label!r} becomes part of a folder's name: use letters, digits and _ . + = - only")
        return backbones

    @field_validator("backbones")
    @classmethod
    def _have_settings_of_their_own_only(cls, backbones: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for label, settings in backbones.items():
            for name in flatten(settings):
                for idle, why in _NOT_OF_BACKBONES.items():
                    if f"{name}.".startswith(f"{idle}."):
                        raise ValueError(f"{label}.{name} is no setting of a backbone ({why}): remove it")
        return backbones

    @model_validator(mode="after")
    def _can_be_ablated(self) -> Self:
        network, objective = self.train.network, self.train.objective
        if network.architecture != "depth_distillation":
            raise ValueError(f"train.network.architecture={network.architecture} has none of these variants")
        if objective.depth_weight == 0 and set(self.variants) != {"FCN"}:
            raise ValueError(
                "train.objective.depth_weight=0: variants with +D need a gamma above 0, the paper's is 0.1"
            )
        for name in ("network.srfb", "network.sab"):
            self.refuse_without_effect(name, ": the variants say what it is")
        self.refuse_without_effect("seed", SEEDS_SAY_IT)
        self.refuse_without_effect("registered_model", RUNS_OF_A_GRID)
        return self


def load_ablate_config(path: Path | None, options: dict[str, Any], overrides: Sequence[str]) -> AblateConfig:
    """Read an ablation's settings, see `load_study`."""
    return load_study(AblateConfig, path, options, overrides, command="ablate")
