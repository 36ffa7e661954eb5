"""Sweeps and ablations on a real Ray with its dashboard: killed, failed and stopped runs, and what is left of them."""

import csv
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import ray.data
import torch
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from dbd_ray import Detector
from dbd_ray.cli import main
from dbd_ray.cli.session import DASHBOARD_VARIABLE, own_dashboard
from dbd_ray.config import AblateConfig, TuneConfig, load_ablate_config, load_tune_config
from dbd_ray.datasets.prepare import prepare_scenes
from dbd_ray.datasets.scenes import SceneConfig
from dbd_ray.errors import ConfigError, DatasetError
from dbd_ray.tracking.runs import EXPERIMENT, PARENT_TAG
from dbd_ray.tuning.grid import F_BETA, MAE, Grid
from dbd_ray.tuning.paper import ablate, open_ablation
from dbd_ray.tuning.sweep import Sweep, open_sweep, search

# whichever test comes first waits for a whole study
pytestmark = [pytest.mark.ray, pytest.mark.chaos, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
GOOD, HOPELESS, TOO_FAST = 0.1, 1e-9, 1e30
TRIALS = 8


@pytest.fixture(scope="module", autouse=True)
def cluster(own_ray: None) -> Iterator[str]:
    """The address of a Ray of two CPUs with a dashboard, which frees what stopped runs held."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch, own_dashboard() as of_dashboard:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # as in a command's own Ray
        ray.init(address="local", num_cpus=2, logging_level=logging.ERROR, log_to_driver=False, **of_dashboard)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()  # while the environment is its own


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared scenes in `data`, to train, validate and test with; `runs` beside them."""
    folder = tmp_path_factory.mktemp("studies")
    scenes = SceneConfig(size=(64, 64))
    prepare_scenes(32, folder / "data", config=scenes, validation_fraction=0.25, test_fraction=0.25)
    return folder


def _train_settings(folder: Path, **settings: Any) -> dict[str, Any]:
    return {
        "data": [str(folder / "data")],
        "storage": str(folder / "runs"),
        "batch_size": 2,
        "network": {"backbone": "mobilenetv3_small_050", "reduction": 16},
        "optimizer": {"lr": GOOD, "schedule": "constant", "warmup_epochs": 0},
        "ema_decay": None,
        "workers": {"gpu": False},
        **settings,
    }


@pytest.fixture(scope="module")
def sweep_file(folder: Path) -> Path:
    """A sweep of which one trial fails, some are hopeless, and some are not."""
    rates = [GOOD, GOOD, TOO_FAST, HOPELESS, HOPELESS, HOPELESS, HOPELESS, GOOD]
    settings = {
        "name": "sweep",
        "trials": TRIALS,
        "trial_epochs": 3,
        "keep_one_in": 2,
        "search": {"optimizer": {"lr": [GOOD, HOPELESS, TOO_FAST]}, "objective": {"depth_weight": [0.1, 1.0]}},
        "first": [{"optimizer": {"lr": rate}, "objective": {"depth_weight": 0.1}} for rate in rates],
        "train": _train_settings(folder, epochs=4),
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(settings))
    return folder / "sweep.yaml"


@pytest.fixture(scope="module")
def ablation_file(folder: Path) -> Path:
    """One variant with two seeds, one after the other."""
    settings = {
        "name": "ablation",
        "variants": ["full"],
        "seeds": [0, 1],
        "concurrent": 1,
        "train": _train_settings(folder, epochs=2),
    }
    (folder / "ablation.yaml").write_text(yaml.safe_dump(settings))
    return folder / "ablation.yaml"


def _submitted(job: str, config: Path, cluster: str) -> dict[str, Any]:
    """A job's driver as `ray job submit` would start it, for `kill_once`."""
    command = [sys.executable, str(ROOT / "jobs" / job), "--config", str(config)]
    return {"command": command, "env": {**os.environ, "RAY_ADDRESS": cluster}}


def _command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return int(stopped.value.code or 0)


def _recorded(folder: Path) -> list[str]:
    """Trials that Ray Tune's own record names as done."""
    records = sorted((folder / "runs" / "sweep" / "tune" / "search").glob("experiment_state-*.json"))
    if not records:
        return []
    try:
        trials = json.loads(records[-1].read_text())["trial_data"]
    except ValueError:  # being written
        return []
    states = [json.loads(state) if isinstance(state, str) else state for state, _ in trials]
    return [state["trial_id"] for state in states if state["status"] in ("TERMINATED", "ERROR")]


def _started(folder: Path, study: str) -> dict[str, int]:
    """When each finished run of a study ended, by name."""
    results = (folder / "runs" / study / "trials").glob("*/result.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in results}


def _children(folder: Path, run_id: str) -> list[Run]:
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/runs/mlflow.db")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], f"tags.`{PARENT_TAG}` = '{run_id}'"))


def _status(folder: Path, run_id: str) -> str:
    return str(MlflowClient(tracking_uri=f"sqlite:///{folder}/runs/mlflow.db").get_run(run_id).info.status)


@pytest.fixture(scope="module")
def sweep_config(sweep_file: Path) -> TuneConfig:
    return load_tune_config(sweep_file, {}, [])


@pytest.fixture(scope="module")
def done_before() -> dict[str, int]:
    """Trials that were finished when the sweep's first driver was killed."""
    return {}


@pytest.fixture(scope="module")
def sweep(
    sweep_file: Path,
    sweep_config: TuneConfig,
    folder: Path,
    cluster: str,
    done_before: dict[str, int],
    kill_once: Callable[..., None],
) -> Sweep:
    """What a sweep leaves whose first driver was killed half-way."""
    driver = _submitted("tune.py", sweep_file, cluster)
    kill_once(lambda: len(_recorded(folder)) >= 2 and bool(_started(folder, "sweep")), **driver)
    done_before.update(_started(folder, "sweep"))
    assert _command("tune", "--config", str(sweep_file)) == 0
    sweep = open_sweep(sweep_config)
    assert isinstance(sweep, Sweep)
    return sweep


@pytest.mark.slow
def test_a_killed_sweep_is_completed_by_the_same_command_without_repeating_trials(
    sweep: Sweep, folder: Path, done_before: dict[str, int]
) -> None:
    assert len(sweep.ranking) == TRIALS
    assert done_before
    assert done_before.items() <= _started(folder, "sweep").items(), "a finished trial was trained again"
    client = MlflowClient(tracking_uri=sweep.tracking_uri)
    for run in (run for run in _children(folder, sweep.run_id) if run.info.run_name in done_before):
        epochs = [entry.step for entry in client.get_metric_history(run.info.run_id, "train/loss")]
        assert len(epochs) == len(set(epochs)), f"{run.info.run_name} trained an epoch twice"


@pytest.mark.slow
def test_a_failing_trial_is_named_and_hopeless_ones_are_stopped_early(sweep: Sweep) -> None:
    statuses = [trial.status for trial in sweep.ranking]
    assert statuses == sorted(statuses, key=("finished", "stopped", "failed").index)
    assert statuses.count("stopped") >= 2
    failed = [trial for trial in sweep.ranking if trial.status == "failed"]
    assert failed
    assert all("loss term(s)" in trial.reason and trial.point["optimizer.lr"] == TOO_FAST for trial in failed)
    stopped = [trial for trial in sweep.ranking if trial.status == "stopped"]
    assert all(trial.epochs < 3 and trial.value is not None for trial in stopped)
    finished = [trial.value for trial in sweep.ranking if trial.status == "finished" and trial.value is not None]
    assert finished == sorted(finished)
    assert all(trial.epochs == 3 for trial in sweep.ranking if trial.status == "finished")


@pytest.mark.slow
def test_the_winner_is_trained_in_full_as_an_ordinary_run(sweep: Sweep, folder: Path) -> None:
    assert sweep.winner.folder == str(folder / "runs" / "sweep-winner" / "model")
    assert [epoch["epoch"] for epoch in sweep.winner.history] == [1, 2, 3, 4]
    card = Detector.load(sweep.winner.folder, device="cpu").card
    assert (card.name, card.provenance["epochs"]) == ("sweep-winner", 4)


@pytest.mark.slow
def test_all_resources_are_free_after_a_sweep(sweep: Sweep) -> None:
    def free() -> bool:
        now, whole = ray.available_resources(), ray.cluster_resources()
        # kilobytes that this process itself still refers to are no resource that a trial holds
        return all(now.get(kind, 0) == amount for kind, amount in whole.items() if kind != "object_store_memory")

    patience = time.monotonic() + 240
    while not free() and time.monotonic() < patience:
        threading.Event().wait(0.2)
    assert free()


@pytest.mark.slow
def test_every_trial_has_an_mlflow_run_below_the_sweeps(sweep: Sweep, folder: Path) -> None:
    children = {run.info.run_name: run for run in _children(folder, sweep.run_id)}
    assert set(children) >= {trial.run for trial in sweep.ranking} | {"sweep-winner"}
    assert not [name for name, run in children.items() if run.info.status == "RUNNING"]
    expected = {"finished": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}
    for trial in sweep.ranking:
        assert children[trial.run].info.status == expected[trial.status]
        assert float(children[trial.run].data.params["optimizer.lr"]) == trial.point["optimizer.lr"]
    assert _status(folder, sweep.run_id) == "FINISHED"
    client = MlflowClient(tracking_uri=sweep.tracking_uri)
    logged = {Path(item.path).name for item in client.list_artifacts(sweep.run_id, "sweep")}
    assert logged == {Path(file).name for file in sweep.files}


@pytest.mark.slow
def test_the_ranking_and_its_charts_are_files(sweep: Sweep, folder: Path) -> None:
    names = ["ranking.md", "ranking.csv", "parallel.svg", "gamma.svg"]
    assert sweep.files == [str(folder / "runs" / "sweep" / name) for name in names]
    with Path(sweep.files[1]).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == [trial.run for trial in sweep.ranking]
    assert [row["status"] for row in rows] == [trial.status for trial in sweep.ranking]
    assert all(Path(file).read_text().strip() for file in sweep.files)


@pytest.mark.slow
def test_a_finished_sweep_is_shown_and_not_repeated_and_its_name_is_taken(
    sweep: Sweep, sweep_config: TuneConfig, sweep_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _command("tune", "--config", str(sweep_file)) == 0
    said = capsys.readouterr()
    shown = [line.split("\t") for line in said.out.splitlines()]
    assert shown[0][0].startswith("study sweep is finished already")
    assert [row[:2] for row in shown[2:]] == [[trial.run, trial.status] for trial in sweep.ranking]
    assert "winner, trained in full: " in said.err
    assert search(sweep_config) == sweep
    with pytest.raises(ConfigError, match=r"run sweep exists in .*trials: 8 → 9"):
        search(sweep_config.model_copy(update={"trials": 9}))


@pytest.fixture(scope="module")
def ablation_config(ablation_file: Path) -> AblateConfig:
    return load_ablate_config(ablation_file, {}, [])


@pytest.mark.slow
def test_a_killed_ablation_is_completed_into_one_table_with_the_spread_of_its_seeds(
    ablation_file: Path,
    ablation_config: AblateConfig,
    folder: Path,
    cluster: str,
    capsys: pytest.CaptureFixture[str],
    kill_once: Callable[..., None],
) -> None:
    trials = folder / "runs" / "ablation" / "trials"
    kill_once(lambda: any(trials.glob("*/measured.json")), **_submitted("ablate.py", ablation_file, cluster))
    before = _started(folder, "ablation")
    assert set(before) == {"ablation-mobilenetv3_small_050-full-seed0"}
    capsys.readouterr()
    assert _command("ablate", "--config", str(ablation_file)) == 0
    grid = open_ablation(ablation_config)
    assert isinstance(grid, Grid)
    assert before.items() <= _started(folder, "ablation").items(), "a finished run was trained again"

    (row,) = grid.rows
    assert (row.backbone, row.variant, row.failures) == ("mobilenetv3_small_050", "full", {})
    measured = [json.loads(path.read_text())["mae"] for path in sorted(trials.glob("*/measured.json"))]
    assert measured == row.metrics[MAE]
    assert len(set(measured)) == 2, "seeds that differ"
    assert f"| full | 2 | {sum(row.metrics[F_BETA]) / 2:.4f} ± " in Path(grid.files[0]).read_text()
    assert _status(folder, grid.run_id) == "FINISHED"
    children = {run.info.run_name: run for run in _children(folder, grid.run_id)}
    assert {name: run.data.metrics["test/mae"] for name, run in children.items()} == {
        f"ablation-mobilenetv3_small_050-full-seed{seed}": pytest.approx(mae) for seed, mae in enumerate(measured)
    }
    assert ablate(ablation_config) == grid
    assert f"full\t2\t{sum(row.metrics[F_BETA]) / 2:.4f} ± " in capsys.readouterr().out


def test_what_cannot_work_is_refused_before_any_run_starts(
    folder: Path, sweep_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def config(*overrides: str) -> TuneConfig:
        return load_tune_config(sweep_file, {"name": "refused"}, list(overrides))

    with pytest.raises(ConfigError, match="concurrent=5: the cluster has room for 2 run"):
        search(config("concurrent=5"))
    with pytest.raises(ConfigError, match=r"workers\.count=1, workers\.cpus=3: the cluster has room for 0"):
        search(config("train.workers.cpus=3"))
    prepare_scenes(4, tmp_path / "train-only", config=SceneConfig(size=(64, 64)), validation_fraction=0)
    with pytest.raises(DatasetError, match="no rows of split 'val' to compare the runs on"):
        search(config(f"train.data=[{tmp_path / 'train-only'}]"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv(DASHBOARD_VARIABLE, f"http://127.0.0.1:{probe.getsockname()[1]}")
        with pytest.raises(ConfigError, match=r"dashboard does not answer .*start Ray with --include-dashboard=true"):
            search(config())
    assert not (folder / "runs" / "refused").exists()
