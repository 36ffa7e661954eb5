"""A trial at full length is the winner as it is."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from dbd_ray.checkpoints.card import make_card
from dbd_ray.checkpoints.files import load_checkpoint, save_checkpoint
from dbd_ray.config import TuneConfig, load_tune_config
from dbd_ray.datasets.prepared import PreparedInfo, write_info
from dbd_ray.models import build_network
from dbd_ray.registration import log_model
from dbd_ray.tracking.runs import RunLog, tracking_uri
from dbd_ray.training.run_folder import TrainedModel, claim_name, finished_run, model_folder, write_result
from dbd_ray.tuning.study import absolute_study
from dbd_ray.tuning.sweep import trial_base, trial_run
from dbd_ray.tuning.winner import take_trial, winner_run

POINT = {"optimizer.lr": 0.002}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a prepared dataset `data`."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    counts = {"rows": {"train": 8, "val": 2}, "sources": {"cuhk": 10}, "depth_rows": 0, "image_bytes": 1}
    write_info("data", PreparedInfo(parts="parts-1", input_size=(64, 64), fingerprint="abc", **counts))
    return tmp_path


def _sweep(trial_epochs: int) -> TuneConfig:
    network = {"backbone": "mobilenetv2_035", "srfb": "none", "reduction": 8, "depth": False}
    train = {"data": ["data"], "network": network, "objective": {"depth_weight": 0}, "epochs": 4}
    settings = {"name": "s", "train": train, "search": {"optimizer": {"lr": [0.001, 0.002]}}}
    config: TuneConfig = absolute_study(load_tune_config(None, {**settings, "trial_epochs": trial_epochs}, []))
    return config


def test_a_trial_at_full_length_is_not_trained_again(folder: Path) -> None:
    config = _sweep(trial_epochs=4)
    trial, winner = trial_run(POINT, "abc", base=trial_base(config), name="s"), winner_run(config, POINT)
    said: list[str] = []
    assert take_trial(trial, winner, on_event=said.append) is None, "it is not finished"

    network = build_network(trial.network)
    card = make_card(network, trial.network, name=trial.name, input_size=(64, 64))
    fingerprint = save_checkpoint(model_folder(trial), network, card).fingerprint
    claim_name(trial, "key")
    log = RunLog.open(tracking_uri(config.storage), trial.name)
    log_model(log, Path(model_folder(trial)))
    history = [{"epoch": float(epoch), "val/mae": 0.5 / epoch} for epoch in range(1, 5)]
    write_result(trial, TrainedModel(model_folder(trial), history[-1], history, log.run_id, log.uri))

    taken = take_trial(trial, winner, on_event=said.append)
    assert taken == finished_run(winner) and taken is not None
    assert (taken.folder, taken.history, taken.run_id) == (f"{folder}/runs/s-winner/model", history, log.run_id)
    assert load_checkpoint(taken.folder)[1].fingerprint == fingerprint
    assert said == ["registered as models:/dbd-ray/1", "s-abc has all 4 epochs and is the winner as it is"]
    (version,) = MlflowClient(tracking_uri=log.uri).search_model_versions("name = 'dbd-ray'")
    assert version.run_id == log.run_id
    assert take_trial(trial, winner, on_event=said.append) == taken, "as after an interruption"
    assert len(said) == 2


def test_a_shorter_trial_is_trained_in_full(folder: Path) -> None:
    config = _sweep(trial_epochs=2)
    trial = trial_run(POINT, "abc", base=trial_base(config), name="s")
    assert take_trial(trial, winner_run(config, POINT), on_event=print) is None
