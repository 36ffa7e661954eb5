"""What a study remembers of its trials over an interruption."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler

from dbd_ray.config import load_tune_config
from dbd_ray.tracking.runs import RunLog, tracking_uri
from dbd_ray.tuning.recorder import Recorder
from dbd_ray.tuning.sweep import trial_base, trial_run

METRIC = "val/mae"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunLog:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return RunLog.open(tracking_uri(tmp_path), "study")


@pytest.fixture
def make(tmp_path: Path, log: RunLog) -> Any:
    config = load_tune_config(None, {}, ["name=s", "train.data=[nowhere]", f"train.storage={tmp_path}"])
    base = trial_base(config)

    def make() -> tuple[Recorder, ASHAScheduler, list[str]]:
        said: list[str] = []
        scheduler = ASHAScheduler("epoch", METRIC, "min", max_t=3, reduction_factor=2, stop_last_trials=False)

        def plan(point: Any, trial_id: str) -> Any:
            return trial_run(point, trial_id, base=base, name="s")

        return Recorder(plan, log, metric=METRIC, on_event=said.append, scheduler=scheduler), scheduler, said

    return make


def _trial(name: str) -> Trial:
    return Trial("run_trial", config={"optimizer.lr": 0.1}, trial_id=name, stub=True)


def _report(recorder: Recorder, scheduler: ASHAScheduler, trial: Trial, epoch: int, value: float) -> str:
    result = {"epoch": epoch, METRIC: value}
    decision = scheduler.on_trial_result(None, trial, result)  # type: ignore[arg-type]  # it asks no controller
    recorder.on_trial_result(0, [], trial, result)
    return str(decision)


def test_what_trials_are_compared_with_survives_an_interruption(make: Any) -> None:
    recorder, scheduler, _ = make()
    good = _trial("good")
    scheduler.on_trial_add(None, good)
    recorder.on_trial_start(0, [], good)
    assert _report(recorder, scheduler, good, 1, 0.1) == "CONTINUE"

    again, restored, _ = make()
    again.set_state(recorder.get_state())
    assert again.records == recorder.records
    hopeless = _trial("hopeless")
    for one in (restored, fresh := make()[1]):
        one.on_trial_add(None, hopeless)
    again.on_trial_start(0, [], hopeless)
    assert _report(again, restored, hopeless, 1, 0.5) == "STOP"
    assert fresh.on_trial_result(None, hopeless, {"epoch": 1, METRIC: 0.5}) == "CONTINUE", "it knows of no other"


def test_a_trial_is_told_once_an_epoch_and_by_how_it_ended(make: Any) -> None:
    recorder, scheduler, said = make()
    trial = _trial("a")
    scheduler.on_trial_add(None, trial)
    recorder.on_trial_start(0, [], trial)
    for _ in range(2):
        _report(recorder, scheduler, trial, 1, 0.25)
    assert said == ["s-a: epoch 1/6  val/mae 0.2500"]
    assert [record.id for record in recorder.unfinished()] == ["a"]
    recorder.on_trial_complete(0, [], trial)
    assert (recorder.records["a"].status, recorder.records["a"].epochs) == ("stopped", 1)
    assert said[1:] == ["s-a: stopped early after epoch 1"]
    assert recorder.unfinished() == []


def test_a_run_that_nothing_stops_is_finished_when_it_ends_although_it_reports_no_validation(
    make: Any, log: RunLog
) -> None:
    recorder, _, said = make()
    grid = Recorder(recorder._plan, log, metric=METRIC, on_event=said.append)
    trial = _trial("whole")
    for one in (grid, recorder):
        one.on_trial_start(0, [], trial)
        one.on_trial_result(0, [], trial, {"epoch": 1, "train/loss": 0.5})
        one.on_trial_complete(0, [], trial)
    assert (grid.records["whole"].status, recorder.records["whole"].status) == ("finished", "stopped")
    assert said == ["s-whole: stopped early after epoch 0"], "of the one with a scheduler alone"


def test_a_trial_that_could_not_even_begin_is_a_failed_one(make: Any) -> None:
    recorder, _, said = make()
    lost = _trial("lost")
    # nothing of it was ever written
    lost.storage = SimpleNamespace(trial_driver_staging_path="")  # type: ignore[assignment]
    recorder.on_trial_error(0, [], lost)
    assert recorder.records["lost"].status == "failed"
    assert said == ["s-lost: failed, the others go on: its process was lost"]
