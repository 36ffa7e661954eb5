"""Settings of sweeps and ablations: what is refused, and what is meant by what is left out."""

from pathlib import Path
from typing import Any

import pytest

from dbd_ray.config import (
    Choice,
    Range,
    TuneConfig,
    flatten,
    load_ablate_config,
    load_tune_config,
    unflatten,
    vary,
)
from dbd_ray.errors import ConfigError

CONFIGS = Path(__file__).parents[3] / "jobs" / "configs"
BASE = ["name=study", "train.data=[nowhere]"]


def _tune(*overrides: str) -> TuneConfig:
    return load_tune_config(None, {}, [*BASE, *overrides])


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["train.name=mine"], r"train\.name: has no effect, runs are named after the study"),
        (["train.epochz=2"], r"tune, train:\n  epochz: Extra inputs"),
        (["train=5"], "train: must hold the settings of a training run, found int"),
        (["name=a/b"], "name: .*becomes a folder's name"),
        (["search.optimizer.lr=0.1"], r"optimizer\.lr: write \{low"),
        (["search.optimizer.lr=[0.1]"], r"optimizer\.lr: values Tuple should have at least 2"),
        (["search.optimizer.lr={low: 1, high: 0.1}"], r"optimizer\.lr: .*low must be below high"),
        (["search.optimizer.lr={low: 0, high: 0.1, log: true}"], r"optimizer\.lr: .*log needs low above 0"),
        (["search.optimizer.lr=null"], "search is empty"),
        (["search.optimizer.rate=[1, 2]"], r"search\.optimizer\.rate is no setting of a run"),
        (["search.epochs=[1, 2]"], r"search\.epochs is no setting of a run that a search can change"),
        (["search.optimizer.lr=[0.1, 0.2]", "first=[{optimizer: {lr: 0.3}}]"], "lies outside of what is searched"),
        (["search.optimizer.lr=[0.1, 0.2]", "first=[{seed: 1}]"], r"first\.0: must state optimizer\.lr, and nothing"),
        (
            ["trials=2", "search.seed=[1, 2]", "first=[{seed: 1}, {seed: 1}, {seed: 2}]"],
            "3 points are more than trials",
        ),
        (["trial_epochs=3", "grace_epochs=3"], "grace_epochs=3: no trial could be stopped"),
        (["seeds=[1, 2]"], r"seeds has no effect with a search \(grid=null\)"),
        (["split=val"], "split has no effect with a search"),
        (["grid=paper-gamma", "trials=3"], "trials has no effect with grid=paper-gamma"),
        (["grid=paper-gamma", "search.seed=[1, 2]"], "search has no effect with grid=paper-gamma"),
        (
            ["grid=paper-gamma", "train.network.depth=false", "train.objective.depth_weight=0"],
            r"needs train\.network\.depth=true",
        ),
        (["search.registered_model=[a, b]"], r"search\.registered_model is no setting of a run"),
        (
            ["grid=paper-gamma", "train.objective.depth_weight=0.5"],
            r"train\.objective\.depth_weight has no effect with grid=paper-gamma, which takes 0\.01, .*default, 0\.1",
        ),
        (
            ["grid=paper-gamma", "seeds=[1, 2]", "train.seed=3"],
            r"train\.seed has no effect: seeds says what it is; remove it",
        ),
        (["grid=paper-gamma", "train.registered_model=mine"], r"train\.registered_model has no effect: runs of a grid"),
        (["concurrent=0"], "concurrent: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_settings_of_a_sweep_that_cannot_be_meant_are_refused(overrides: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        _tune(*overrides)


def test_what_decides_something_in_one_kind_of_sweep_is_not_refused_there() -> None:
    assert _tune("grid=paper-gamma", "train.seed=3").train.seed == 3
    assert _tune("grid=paper-gamma", "seeds=[1, 2]", "train.objective.depth_weight=0.1").seeds == (1, 2)
    assert _tune("grid=paper-gamma", "train.registered_model=null").train.registered_model is None
    searched = _tune("search.seed=[1, 2]", "train.objective.depth_weight=0.5", "train.registered_model=mine")
    assert (searched.train.objective.depth_weight, searched.train.registered_model) == (0.5, "mine")


def test_a_sweep_without_a_search_of_its_own_searches_gamma_widths_and_learning_rate() -> None:
    config = _tune("train.epochs=40")
    assert config.space == {
        "objective.depth_weight": Range(low=0.01, high=5, log=True),
        "network.reduction": Choice(values=(2, 4, 8)),
        "network.branches": Choice(values=(2, 3, 4)),
        "optimizer.lr": Range(low=1e-4, high=1e-2, log=True),
    }
    assert config.longest_trial == 10
    assert _tune("train.epochs=3").longest_trial == 2


def test_a_setting_of_the_file_can_be_taken_out_of_the_search() -> None:
    settings: dict[str, Any] = {"search": {"optimizer": {"lr": [0.1, 0.2]}, "seed": [1, 2]}}
    config = load_tune_config(None, settings, [*BASE, "search.seed=null"])
    assert list(config.space) == ["optimizer.lr"]


def test_a_varied_run_keeps_what_was_not_varied_and_is_checked_again() -> None:
    run = _tune("train.recipe=paper").train
    varied = vary(run, {"network": {"branches": 2}}, where="here")
    assert varied == run.model_copy(update={"network": run.network.model_copy(update={"branches": 2})})
    with pytest.raises(ConfigError, match=r"here:\n.*branches has no effect with srfb=none"):
        vary(run, {"network": {"branches": 2, "srfb": "none"}}, where="here")
    with pytest.raises(ConfigError, match=r"here:\n  recipe: has no effect here"):
        vary(run, {"recipe": "paper"}, where="here")


def test_flat_and_nested_settings_are_the_same() -> None:
    assert unflatten(flatten({"a": {"b": {"c": 1}, "d": [1]}, "e": None})) == {
        "a": {"b": {"c": 1}, "d": [1]},
        "e": None,
    }


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["seeds=[0, 0]"], "seeds: .*each may be named once only"),
        (["variants=[FCN, FCN]"], "variants: .*each may be named once only"),
        (["variants=[RFB]"], r"variants\.0: "),
        (["train.objective.depth_weight=0"], "need a gamma above 0"),
        (["train.network.srfb=rfb"], r"train\.network\.srfb has no effect: the variants say"),
        (["train.network.sab=false"], r"train\.network\.sab has no effect: the variants say"),
        (["train.network.architecture=lite"], "architecture=lite has none of these variants"),
        (["backbones={'a/b': {}}"], "backbones: .*becomes part of a folder's name"),
        (["train.seed=3"], r"train\.seed has no effect: seeds says what it is"),
        (["train.registered_model=mine"], r"train\.registered_model has no effect: runs of a grid or an ablation"),
        (["backbones={A: {name: x}}"], r"backbones\.A\.name cannot differ there \(runs are named after"),
        (["backbones={A: {seed: 1}}"], r"A\.seed cannot differ there \(seeds says what it is\): remove it"),
        (["backbones={A: {storage: x}}"], r"A\.storage cannot differ there"),
        (["backbones={A: {data: [x]}}"], r"A\.data cannot differ there \(all rows .*set train\.data"),
        (["backbones={A: {workers: {count: 2}}}"], r"A\.workers\.count cannot differ there .*train\.workers"),
        (["rows={A: {seed: 1}}"], r"rows\.A\.seed cannot differ there"),
        (["rows={'a/b': {}}"], "rows: .*becomes part of a folder's name"),
        (["rows={A: {}}", "variants=[FCN]"], "variants has no effect beside rows"),
        (["backbones={A: {network: {sab: false}}}"], r"A\.network\.sab cannot differ there .*the variants say"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_settings_of_an_ablation_that_cannot_be_meant_are_refused(overrides: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_ablate_config(None, {}, [*BASE, *overrides])


def test_the_job_files_of_studies_are_valid() -> None:
    sweep = load_tune_config(CONFIGS / "sweep.yaml", {}, [])
    assert (sweep.trials, sweep.longest_trial) == (16, 4)
    grid = load_tune_config(CONFIGS / "sweep.yaml", {"grid": "paper-gamma"}, ["name=gamma"])
    assert grid.grid == "paper-gamma"
    ablation = load_ablate_config(CONFIGS / "ablation.yaml", {}, [])
    assert list(ablation.backbones) == ["MobileNetV2"]
    assert list(load_ablate_config(CONFIGS / "ablation-vgg16.yaml", {}, []).backbones) == ["VGG16"]
    assert len(ablation.seeds) * len(ablation.variants) * len(ablation.backbones) == 10
