"""A detector that another one teaches, or that begins as another one, on Ray's workers."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.config import TrainConfig
from dbd_ray.datasets.prepare import prepare_scenes
from dbd_ray.datasets.scenes import SceneConfig
from dbd_ray.errors import ConfigError
from dbd_ray.training import detector_teachers, train_loop_per_worker
from dbd_ray.training.open_run import ReadyRun, open_run
from dbd_ray.training.run_folder import RESULT_FILE
from dbd_ray.training.state import STATE_FILE
from dbd_ray.training.trainer import make_trainer, train

pytestmark = [pytest.mark.ray, pytest.mark.workers, pytest.mark.usefixtures("training_ray")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight prepared scenes in `data`, six of them to train."""
    folder = tmp_path_factory.mktemp("distillation")
    prepare_scenes(8, folder / "data", config=SceneConfig(size=(64, 64)), validation_fraction=0.25)
    return folder


def _config(teacher: str = "", *, objective: dict[str, Any] | None = None, **settings: Any) -> TrainConfig:
    defaults: dict[str, Any] = {
        "name": "student",
        "data": ["data"],
        "epochs": 1,
        "batch_size": 2,
        "network": {"architecture": "lite", "backbone": "mobilenetv3_small_050", "width": 16, "depth": False},
        "workers": {"count": 2, "gpu": False},
    }
    taught = {"depth_weight": 0, "teacher_checkpoints": [teacher], "teacher_weight": 0.5, "feature_weight": 100}
    return TrainConfig(**{**defaults, "objective": objective or taught, **settings})


@pytest.mark.slow
def test_two_workers_learn_from_a_teacher_named_relative_to_the_current_folder(
    folder: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    Path("teacher").symlink_to(tiny_model)
    loads = []

    def counted(checkpoint: Path) -> Any:
        loads.append(checkpoint)
        return load_checkpoint(checkpoint)

    monkeypatch.setattr(detector_teachers, "load_checkpoint", counted)
    run = open_run(_config("teacher"))
    assert isinstance(run, ReadyRun)
    Path("teacher").unlink()  # the workers are sent what was loaded: their nodes need not have its files
    trained = train(run)
    assert loads == [folder / "teacher"]
    assert trained.metrics["train/features"] > 0
    card = load_checkpoint(trained.folder)[1]
    assert card.provenance["teachers"] == [f"tiny@{load_checkpoint(tiny_model)[1].fingerprint[:16]}"]
    monkeypatch.chdir(folder.parent)
    data, storage = str(folder / "data"), str(folder / "runs")
    assert train(_config(str(folder / "teacher"), data=[data], storage=storage)) == trained


@pytest.mark.slow
def test_a_worker_that_is_given_the_settings_alone_loads_the_rest_itself(folder: Path, tiny_model: Path) -> None:
    storage = str(folder / "runs")
    config = _config(
        str(tiny_model), name="alone", data=[str(folder / "data")], storage=storage, ingest="streaming", workers={}
    )
    result = TorchTrainer(
        train_loop_per_worker,
        train_loop_config={"train": config.model_dump(mode="json")},
        scaling_config=ScalingConfig(num_workers=1),
        run_config=RunConfig(name="alone", storage_path=storage),
    ).fit()
    assert result.metrics is not None
    assert result.metrics["train/features"] > 0


def test_a_teacher_that_is_not_there_is_refused_before_a_worker_starts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for absent in ("absent", "models:/nobody@champion"):
        with pytest.raises(ConfigError, match=rf"^objective\.teacher_checkpoints: .*{absent}.*"):
            make_trainer(_config(absent, name="untaught"))
    assert not Path("runs/untaught").exists()


def test_a_teacher_that_is_trained_along_is_kept_beside_the_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    teacher = {
        "architecture": "dbdgan_teacher",
        "backbone": "mobilenetv3_small_050",
        "widths": (8, 8, 8, 8),
        "depth": False,
    }
    scheme = {"teacher": teacher, "discriminator_width": 4}
    objective = {"kind": "adversarial", "depth_weight": 0, "adversarial": scheme}
    trained = train(_config(objective=objective, name="pair", workers={"gpu": False}))
    network, card = load_checkpoint(folder / "runs" / "pair" / "teacher")
    assert (card.name, card.provenance["student"]) == ("pair-teacher", "pair")
    assert card.network.architecture == "dbdgan_teacher"
    kept = next((folder / "runs" / "pair").rglob(STATE_FILE))
    state = torch.load(kept, weights_only=True)["beside"]["teacher"]
    torch.testing.assert_close(network.state_dict(), state, rtol=0, atol=0)
    assert load_checkpoint(trained.folder)[1].network.architecture == "lite"


@pytest.mark.slow
def test_a_run_begins_with_the_weights_of_a_detector_and_goes_on_without_it(
    folder: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    network, card = load_checkpoint(tiny_model)
    shutil.copytree(tiny_model, "begun")
    config = TrainConfig(
        name="tuned",
        data=("data",),
        epochs=1,
        batch_size=2,
        start_from="begun",
        network=card.network,
        objective={"depth_weight": 0},
        optimizer={"lr": 1e-9},
    )
    trained = train(config)
    tuned, its_card = load_checkpoint(trained.folder)
    assert its_card.provenance["start_from"] == f"tiny@{card.fingerprint[:16]}"
    for name, parameter in tuned.named_parameters():
        torch.testing.assert_close(parameter, network.get_parameter(name), atol=1e-6, rtol=0)
    shutil.rmtree("begun")
    Path("runs/tuned", RESULT_FILE).unlink()  # as if it had been cut off before its end was recorded
    assert train(config).metrics == trained.metrics
