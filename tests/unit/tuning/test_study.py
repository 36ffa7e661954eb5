"""What is said of a study before Ray starts: paths made absolute, and what none of its runs could work with."""

import json
import shutil
from pathlib import Path
from typing import Any, NoReturn

import pytest

from dbd_ray.checkpoints.files import CARD, load_checkpoint
from dbd_ray.checkpoints.find import packaged_models
from dbd_ray.cli import main
from dbd_ray.config import AblateConfig, TuneConfig, load_ablate_config, load_tune_config
from dbd_ray.datasets.prepared import PreparedInfo, write_info
from dbd_ray.errors import ConfigError, DatasetError
from dbd_ray.tuning.paper import ablation_plan, open_ablation, open_gamma_grid
from dbd_ray.tuning.study import absolute_study
from dbd_ray.tuning.sweep import corners, open_sweep, optuna_space, trial_base

TINY = {"backbone": "mobilenetv2_035", "srfb": "none", "reduction": 8, "depth": False}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a prepared dataset `data`."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    counts = {"rows": {"train": 8, "val": 2, "test": 2}, "sources": {"cuhk": 12}, "depth_rows": 12, "image_bytes": 1}
    info = PreparedInfo(parts="parts-1", input_size=(64, 64), fingerprint="abc", **counts)
    write_info(str(tmp_path / "data"), info)
    return tmp_path


def _study(**train: Any) -> dict[str, Any]:
    return {"name": "s", "train": {"data": ["data"], "network": TINY, "objective": {"depth_weight": 0}, **train}}


def _sweep(search: dict[str, Any], first: tuple[dict[str, Any], ...] = (), **train: Any) -> TuneConfig:
    return load_tune_config(None, {**_study(**train), "search": search, "first": first}, [])


def _ablation(**train: Any) -> AblateConfig:
    network = {name: TINY[name] for name in ("backbone", "reduction")}
    settings = _study(**{"network": network, "objective": {}, **train})
    return load_ablate_config(None, {**settings, "variants": ["FCN", "full"], "seeds": [0]}, [])


def test_paths_that_are_searched_are_taken_from_where_the_command_runs(folder: Path) -> None:
    (packaged, *_) = packaged_models()
    rates = {"low": 0.001, "high": 0.01}
    search = {"start_from": ["one", packaged, "models:/m@champion", None], "optimizer": {"lr": rates}}
    config = absolute_study(_sweep(search, first=({"start_from": "one", "optimizer": {"lr": 0.001}},)))
    choices = (f"{folder}/one", packaged, "models:/m@champion", None)
    assert config.search == {"start_from": list(choices), "optimizer": {"lr": rates}}
    assert config.first == ({"start_from": f"{folder}/one", "optimizer": {"lr": 0.001}},)
    assert optuna_space(config)["start_from"].choices == choices
    assert {run.start_from for run in corners(config, trial_base(config))} == set(choices)
    assert absolute_study(config) == config

    weights = _sweep({"network": {"backbone_weights": ["a.safetensors", "timm", None]}})
    assert absolute_study(weights).search == {
        "network": {"backbone_weights": [f"{folder}/a.safetensors", "timm", None]}
    }
    taught = {"depth_weight": 0, "teacher_weight": 1, "teacher_checkpoints": ["one"]}
    teachers = _sweep({"objective": {"teacher_checkpoints": [["one"], ["one", packaged]]}}, objective=taught)
    searched = absolute_study(teachers).search["objective"]["teacher_checkpoints"]
    assert searched == [[f"{folder}/one"], [f"{folder}/one", packaged]]


def test_a_sweep_without_paths_is_the_same_sweep_as_before() -> None:
    config = _sweep({"optimizer": {"lr": [0.1, 0.2]}}, first=({"optimizer": {"lr": 0.1}},))
    found = absolute_study(config)
    assert (found.search, found.first) == (config.search, config.first)
    assert absolute_study(load_tune_config(None, _study(), [])).search is None


def test_a_detector_that_some_trials_would_begin_with_is_looked_for_before_any_starts(
    folder: Path, tiny_model: Path
) -> None:
    for name in ("one", "two"):
        shutil.copytree(tiny_model, folder / name)
    open_sweep(_sweep({"start_from": ["one", "two"]}))
    with pytest.raises(ConfigError, match=rf"run s-trial: start_from: {folder}/absent: neither a checkpoint folder"):
        open_sweep(_sweep({"start_from": ["one", "absent", "two"]}))
    with pytest.raises(ConfigError, match=r"run s-trial: start_from: .*set network\.reduction=8"):
        open_sweep(_sweep({"network": {"reduction": [4, 8]}}, start_from="one"))


def test_a_teacher_in_the_registry_is_looked_for_before_any_trial_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = "http://127.0.0.1:9"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", nobody)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    taught = {"depth_weight": 0, "teacher_weight": 1, "teacher_checkpoints": ["models:/absent@champion"]}
    with pytest.raises(ConfigError, match=r"http://127\.0\.0\.1:9: MLflow cannot be used there"):
        open_sweep(_sweep({"optimizer": {"lr": [0.1, 0.2]}}, objective=taught))


def test_a_detector_that_fits_one_variant_only_is_refused_and_the_other_is_named(tiny_model: Path) -> None:
    theirs = load_checkpoint(tiny_model)[1].network
    assert (theirs.srfb, theirs.sab) == ("none", True)
    with pytest.raises(ConfigError, match=r"run s-mobilenetv2_035-FCN-seed0: start_from: .*set network\.sab=True"):
        open_ablation(_ablation(start_from=str(tiny_model)))


def test_runs_that_go_on_do_not_need_what_they_began_with_any_more(folder: Path) -> None:
    config = _ablation(start_from="deleted")
    with pytest.raises(ConfigError, match=r"start_from: .*/deleted: neither a checkpoint folder"):
        open_ablation(config)
    for run in ablation_plan(absolute_study(config)).runs:
        card = Path(run.config.storage) / run.config.name / "checkpoint_1" / CARD
        card.parent.mkdir(parents=True)
        card.write_text(json.dumps({}))
    open_ablation(config)


def test_settings_and_data_of_every_study_are_checked_without_ray(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"network\.backbone_weights: .*absent is no local file"):
        open_ablation(_ablation(network={"backbone": "vgg16", "backbone_weights": "absent"}))
    settings = {**_study(network={}, objective={}, data=["nowhere"]), "grid": "paper-gamma"}
    with pytest.raises(DatasetError, match=r"(?s)nowhere.*dataset\.json is missing"):
        open_gamma_grid(load_tune_config(None, settings, []))


@pytest.mark.parametrize(
    "command", [["tune"], ["tune", "--grid", "paper-gamma"], ["ablate"]], ids=lambda command: " ".join(command)
)
def test_ray_does_not_start_for_a_study_that_cannot_work(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(**options: Any) -> NoReturn:
        pytest.fail("Ray was started first")

    monkeypatch.setattr("dbd_ray.cli.training.local_or_cluster", start)
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--set", "name=s", "--set", "train.data=[data]", "--set", "train.start_from=absent"])
    assert stopped.value.code != 0
    assert "start_from: " in (said := capsys.readouterr().err)
    assert "neither a checkpoint folder" in said
