"""Settings of a sweep: the settings of a run that are searched, or the grid, and how long its runs train."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from dbd_ray.config.search import DEFAULT_SEARCH, Space, parse_space
from dbd_ray.config.settings import flatten
from dbd_ray.config.study import RUNS_OF_A_GRID, SEEDS_SAY_IT, MeasuredSplit, Seeds, StudyConfig, load_study

PAPER_GAMMAS = (0.01, 0.05, 0.1, 1.0, 5.0)  # Table 3 of the paper
_OF_SEARCH = ("search", "first", "trials", "trial_epochs", "grace_epochs", "keep_one_in", "seed")
_OF_GRID = ("seeds", "split")
# the winner alone is registered
_NOT_SEARCHED = ("name", "storage", "epochs", "data", "registered_model")


class TuneConfig(StudyConfig):
    """A search with Optuna whose hopeless trials ASHA stops early, or a grid whose runs all train at full length."""

    grid: Literal["paper-gamma"] | None = Field(
        None, description="paper-gamma: Table 3 of the paper instead of a search."
    )
    search: dict[str, Any] | None = Field(
        None,
        description="Settings of train, nested, each {low, high, log} or a list of values; null: gamma 0.01 to 5, "
        "reduction 2/4/8, branches 2 to 4, lr 1e-4 to 1e-2.",
    )
    first: tuple[dict[str, Any], ...] = Field(
        (), description="Points to try first; each states every setting that is searched."
    )
    trials: int = Field(16, ge=2, description="How many points are tried.")
    trial_epochs: int | None = Field(
        None, ge=2, description="Epochs of a trial that is not stopped; null: a quarter of train.epochs, at least 2."
    )
    grace_epochs: int = Field(1, ge=1, description="Epochs before a trial may be stopped.")
    keep_one_in: int = Field(3, ge=2, description="Which share goes on at each of ASHA's decisions.")
    seed: int = Field(0, ge=0, description="Seed of Optuna's sampler; train.seed is that of every run.")
    seeds: Seeds | None = Field(None, description="grid only: seeds of each point's runs; null: train.seed alone.")
    split: MeasuredSplit = Field("test", description="grid only: on which rows the finished runs are measured.")

    @model_validator(mode="after")
    def _no_setting_without_effect(self) -> Self:
        fields = type(self).model_fields
        idle = [n for n in (_OF_SEARCH if self.grid else _OF_GRID) if getattr(self, n) != fields[n].default]
        if idle:
            kind = f"grid={self.grid}" if self.grid else "a search (grid=null)"
            raise ValueError(f"{', '.join(idle)} has no effect with {kind}: remove it")
        if self.grid:
            if not self.train.network.depth:
                raise ValueError("grid=paper-gamma varies objective.depth_weight, which needs train.network.depth=true")
            gammas = ", ".join(f"{gamma:g}" for gamma in PAPER_GAMMAS)
            self.refuse_without_effect("objective.depth_weight", f" with grid=paper-gamma, which takes {gammas}")
            self.refuse_without_effect("registered_model", RUNS_OF_A_GRID)
            if self.seeds:
                self.refuse_without_effect("seed", SEEDS_SAY_IT)
            return self
        if self.grace_epochs >= self.longest_trial:
            raise ValueError(
                f"grace_epochs={self.grace_epochs}: no trial could be stopped before its {self.longest_trial} epochs "
                "are over; lower it, or raise trial_epochs"
            )
        return self._checked_search()

    def _checked_search(self) -> Self:
        space = self.space
        known = flatten(self.train.model_dump(mode="json"))
        for name in space:
            if name.split(".")[0] in _NOT_SEARCHED or name not in known:
                raise ValueError(f"search.{name} is no setting of a run that a search can change")
        for number, point in enumerate(self.first):
            values = flatten(point)
            if values.keys() != space.keys():
                raise ValueError(f"first.{number}: must state {', '.join(sorted(space))}, and nothing else")
            for name, value in values.items():
                if not space[name].holds(value):
                    raise ValueError(f"first.{number}.{name}: {value!r} lies outside of what is searched")
        if len(self.first) > self.trials:
            raise ValueError(f"first: {len(self.first)} points are more than trials={self.trials}")
        return self

    @property
    def space(self) -> Space:
        """Range or choices of each setting that is searched, by its dotted name."""
        return parse_space(DEFAULT_SEARCH if self.search is None else self.search)

    @property
    def longest_trial(self) -> int:
        """Number of epochs of a trial that is not stopped."""
        return self.trial_epochs or max(2, self.train.epochs // 4)


def load_tune_config(path: Path | None, options: dict[str, Any], overrides: Sequence[str]) -> TuneConfig:
    """Read a sweep's settings, see `load_study`."""
    return load_study(TuneConfig, path, options, overrides, command="tune")
