"""Settings of an ablation: which variants of the network are trained, on which backbones, with which seeds."""

import re
from collections.abc import Mapping, Sequence
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


# settings of a run that cannot differ by row or backbone, and why
_OF_THE_STUDY = {
    "name": "runs are named after the study, the backbone, the row and the seed",
    "seed": "seeds says what it is",
    "storage": "all runs are in the study's folder",
    "data": "all rows of the table are of the same data, set train.data",
    "workers": "room is made for train.workers, set them there",
    "registered_model": "runs of an ablation are not registered",
}
_OF_THE_VARIANTS = {
    "network.depth": "the variants say what it is",
    "network.srfb": "the variants say what it is",
    "network.sab": "the variants say what it is",
}


class AblateConfig(StudyConfig):
    """Every row on every backbone with every seed, at full length, in one table: those of the first paper's Table 2, or
    rows of one's own.
    """

    backbones: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Settings of train by label, e.g. {VGG16: {network: {backbone: vgg16}}}; none: train's backbone.",
    )
    variants: tuple[VariantName, ...] = Field(
        tuple(VARIANTS), min_length=1, description="Which rows of the table; all by default."
    )
    rows: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Settings of train by label, the table's rows instead of variants, e.g. {student: {}, '+D2': …}.",
    )
    seeds: Seeds = Field((0, 1, 2), description="Seeds of each variant's runs.")
    split: MeasuredSplit = Field("test", description="On which rows the finished runs are measured.")

    @field_validator("variants", "seeds")
    @classmethod
    def _each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError("each may be named once only")
        return values

    @field_validator("backbones", "rows")
    @classmethod
    def _are_parts_of_folder_names(cls, settings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for label in settings:
            if not re.fullmatch(r"[\w.+=-]+", label):
                raise ValueError(f"{label!r} becomes part of a folder's name: use letters, digits and _ . + = - only")
        return settings

    @model_validator(mode="after")
    def _can_be_ablated(self) -> Self:
        self.refuse_without_effect("seed", SEEDS_SAY_IT)
        self.refuse_without_effect("registered_model", RUNS_OF_A_GRID)
        if self.rows:
            if self.variants != tuple(VARIANTS):
                raise ValueError("variants has no effect beside rows: remove it")
            _refuse_idle(self.backbones, _OF_THE_STUDY, "backbones")
            _refuse_idle(self.rows, _OF_THE_STUDY, "rows")
        else:
            self._check_variants()
        return self

    def _check_variants(self) -> None:
        _refuse_idle(self.backbones, _OF_THE_STUDY | _OF_THE_VARIANTS, "backbones")
        network, objective = self.train.network, self.train.objective
        if network.architecture != "depth_distillation":
            raise ValueError(f"train.network.architecture={network.architecture} has none of these variants")
        if objective.depth_weight == 0 and set(self.variants) != {"FCN"}:
            raise ValueError(
                "train.objective.depth_weight=0: variants with +D need a gamma above 0, the paper's is 0.1"
            )
        for name in ("network.srfb", "network.sab"):
            self.refuse_without_effect(name, ": the variants say what it is")


def _refuse_idle(settings: Mapping[str, Mapping[str, Any]], idle: Mapping[str, str], where: str) -> None:
    for label, own in settings.items():
        for name in flatten(own):
            for other, why in idle.items():
                if f"{name}.".startswith(f"{other}."):
                    raise ValueError(f"{where}.{label}.{name} cannot differ there ({why}): remove it")


def load_ablate_config(path: Path | None, options: dict[str, Any], overrides: Sequence[str]) -> AblateConfig:
    """Read an ablation's settings, see `load_study`."""
    return load_study(AblateConfig, path, options, overrides, command="ablate")
