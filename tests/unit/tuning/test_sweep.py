"""What a sweep makes of its trials' records, without running any."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from dbd_ray.cli.training import _show_sweep
from dbd_ray.config import Choice, Range, load_tune_config
from dbd_ray.errors import ConfigError
from dbd_ray.training.run_folder import TrainedModel
from dbd_ray.tuning.plots import GAMMA, gamma_chart, gamma_grid_chart, parallel_chart
from dbd_ray.tuning.ranking import RankedTrial, ranked, ranking_files, short_names
from dbd_ray.tuning.recorder import TrialRecord
from dbd_ray.tuning.sweep import Sweep, corners, optuna_space, trial_base, trial_run
from dbd_ray.tuning.winner import winner_run

BASE = ["name=s", "train.data=[nowhere]", "train.epochs=20"]
SPACE: dict[str, Range | Choice] = {GAMMA: Range(low=0.01, high=5, log=True), "network.branches": Choice(values=(2, 4))}


def _record(name: str, values: list[float], status: str) -> TrialRecord:
    return TrialRecord(name, {}, dict(enumerate(values, 1)), status)  # type: ignore[arg-type]


def test_finished_trials_come_first_by_their_best_epoch_and_failed_ones_last() -> None:
    records = [
        _record("worse", [0.5, 0.4], "finished"),
        _record("stopped", [0.1], "stopped"),
        _record("failed", [], "failed"),
        _record("failed late", [0.05], "failed"),
        _record("better", [0.3, 0.6], "finished"),
    ]
    found = ranked(records, mode="min", name="s")
    assert [trial.run for trial in found] == ["s-better", "s-worse", "s-stopped", "s-failed late", "s-failed"]
    assert [trial.value for trial in found] == [0.3, 0.4, 0.1, 0.05, None]
    assert [trial.epochs for trial in found] == [2, 2, 1, 1, 0]
    assert ranked(records, mode="max", name="s")[0].run == "s-better"
    assert ranked(records, mode="max", name="s")[0].value == 0.6


def test_trials_are_short_and_the_winner_is_an_ordinary_run_at_full_length(tmp_path: Path) -> None:
    config = load_tune_config(None, {}, [*BASE, f"train.storage={tmp_path}"])
    point = {GAMMA: 0.5, "network.branches": 2}
    trial = trial_run(point, "abc", base=trial_base(config), name=config.name)
    assert (trial.name, trial.epochs, trial.storage) == ("s-abc", 5, f"{tmp_path}/s/trials")
    winner = winner_run(config, point)
    assert (winner.name, winner.epochs, winner.storage) == ("s-winner", 20, str(tmp_path))
    assert trial.objective == winner.objective
    assert (winner.objective.depth_weight, winner.network.branches) == (0.5, 2)


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ("network.reduction={low: 2, high: 8}", IntDistribution),
        ("network.reduction={low: 2, high: 8, log: true}", IntDistribution),
        ("optimizer.lr={low: 1, high: 8}", FloatDistribution),
        ("network.reduction=[2, 8]", CategoricalDistribution),
    ],
)
def test_a_range_over_whole_numbers_draws_whole_numbers(setting: str, kind: type) -> None:
    config = load_tune_config(None, {}, [*BASE, f"search.{setting}"])
    assert isinstance(optuna_space(config)[setting.partition("=")[0]], kind)


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (
            ["search.network.srfb=[srfb, none]", "search.network.branches=[2, 4]"],
            "branches has no effect with srfb=none",
        ),
        (["search.micro_batch_size=[1, 64]"], "micro_batch_size=64 has no effect"),
        (
            ["train.network.depth=false", "train.objective.depth_weight=0"],
            "depth_weight has no effect with network.depth",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_found_before_any_trial(overrides: list[str], complaint: str) -> None:
    config = load_tune_config(None, {}, [*BASE, *overrides])
    with pytest.raises(ConfigError, match=f"s, a trial with .*\n.*{complaint}"):
        corners(config, trial_base(config))


def _trials() -> list[RankedTrial]:
    point = {GAMMA: 0.1, "network.branches": 2}
    return [
        RankedTrial("a", "finished", 4, 0.1, point, ""),
        RankedTrial("b", "stopped", 1, 0.2, {GAMMA: 4.0, "network.branches": 4}, ""),
        RankedTrial("c", "failed", 0, None, point, "not finite"),
    ]


@pytest.mark.parametrize(
    "svg",
    [
        parallel_chart(SPACE, _trials(), "mae"),
        parallel_chart(SPACE, _trials()[:1], "iou_at_half_focus"),
        parallel_chart(SPACE, [], "mae"),
        gamma_chart(SPACE[GAMMA], _trials(), "mae"),
        gamma_chart(Range(low=0, high=5), _trials(), "mae"),
        gamma_grid_chart({0.1: [0.3, 0.4], 0.01: [], 5.0: [0.2]}, "mae"),
    ],
)
def test_charts_are_whole_pictures_that_name_their_axes(svg: str) -> None:
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert "mae" in svg or "iou_at_half_focus" in svg


def test_a_ranking_is_rounded_and_fits_100_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_tune_config(None, {}, [*BASE, "name=sweep"])
    names = {GAMMA: 0.12345678, "network.reduction": 4, "network.branches": 3, "optimizer.lr": 0.00123456789}
    trials = [
        RankedTrial("sweep-5f3c1a2b", "finished", 12, 0.123456, names, ""),
        RankedTrial("sweep-5f3c1a2c", "failed", 0, None, names, "a loss term is not finite " * 5),
    ]
    files = ranking_files(config, trials)
    table = [line for line in files["ranking.md"].splitlines() if line.startswith("|")]
    assert table[2] == "| 1 | sweep-5f3c1a2b | finished | 12 | 0.1235 | 0.1235 | 4 | 3 | 0.001235 |"
    assert "| depth_weight | reduction | branches | lr |" in table[0] and max(map(len, table)) <= 100
    assert f"- sweep-5f3c1a2c failed: {trials[1].reason}" in files["ranking.md"]
    assert files["ranking.csv"].startswith(f"rank,run,status,epochs,mae,{','.join(names)},reason\n")

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    _show_sweep(Sweep(trials, TrainedModel("model", {}, [], "id", "sqlite:///x"), [], "id", "sqlite:///x"), "mae")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, shown)) <= 100
    assert [cell.strip() for cell in re.split("[┃]", shown[1])[5:9]] == ["depth_weight", "reduction", "branches", "lr"]
    assert [cell.strip() for cell in shown[3].split("│")[4:9]] == ["0.1235", "0.1235", "4", "3", "0.001235"]


def test_settings_of_one_last_name_keep_their_sections() -> None:
    assert short_names(["optimizer.lr", "other.lr"]) == ["optimizer.lr", "other.lr"]


def _gammas(svg: str) -> list[str]:
    texts = re.findall(r">([^<>]+)</text>", svg)
    return texts[: texts.index("γ, the weight of the depth loss")]


def test_the_ticks_of_gamma_are_plain_numbers_at_the_values_that_were_tried() -> None:
    assert _gammas(gamma_grid_chart({0.01: [0.1], 0.05: [0.2], 1.0: [0.3], 5.0: []}, "mae")) == ["0.01", "0.05", "1"]
    assert _gammas(gamma_chart(Choice(values=(0.1, 4.0)), _trials(), "mae")) == ["0.1", "4"]
    assert _gammas(gamma_chart(Range(low=0.01, high=5, log=True), _trials(), "mae")) == ["0.1", "0.2", "0.5", "1", "2"]
    near = [RankedTrial("a", "finished", 4, 0.1, {GAMMA: gamma}, "") for gamma in (0.078, 0.13)]
    assert _gammas(gamma_chart(Range(low=0.07, high=0.2, log=True), near, "mae")) == ["0.08", "0.09", "0.1"]


def test_the_axes_of_parallel_coordinates_are_the_settings() -> None:
    svg = parallel_chart(SPACE, _trials(), "mae")
    assert all(name in svg for name in (*SPACE, "0.01", "5"))
    assert gamma_chart(SPACE[GAMMA], _trials(), "mae").count("stopped early") == 1
