import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import ray.data
import torch
from mlflow import MlflowClient
from mlflow.entities import Run

from dbd_ray import Detector
from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.checkpoints.find import find_checkpoint
from dbd_ray.config import TrainConfig
from dbd_ray.datasets.prepare import prepare_scenes
from dbd_ray.datasets.prepared import read_rows
from dbd_ray.datasets.scenes import SceneConfig
from dbd_ray.errors import ConfigError, DatasetError, TrainingError
from dbd_ray.metrics import METRIC_NAMES, FocusMetrics
from dbd_ray.tracking.runs import EXPERIMENT
from dbd_ray.training.learner import make_learner
from dbd_ray.training.loop import validate
from dbd_ray.training.progress import Progress
from dbd_ray.training.reporting import Event
from dbd_ray.training.samples import eval_batches, rows_from_columns
from dbd_ray.training.trainer import TrainedModel, make_trainer, train

pytestmark = [pytest.mark.ray, pytest.mark.workers, pytest.mark.usefixtures("training_ray")]
NETWORK = {"backbone": "mobilenetv3_small_050", "srfb": "none", "reduction": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared scenes in `data` (18 to train, 6 to validate) and in `train only`, runs in `runs`."""
    folder = tmp_path_factory.mktemp("training")
    scenes = SceneConfig(size=(64, 64))
    prepare_scenes(24, folder / "data", config=scenes, validation_fraction=0.25)
    prepare_scenes(5, folder / "train only", config=scenes, validation_fraction=0)
    return folder


@pytest.fixture(scope="module")
def make_config(folder: Path) -> Callable[..., TrainConfig]:
    def make(name: str, **settings: Any) -> TrainConfig:
        defaults: dict[str, Any] = {
            "data": [str(folder / "data")],
            "storage": str(folder / "runs"),
            "epochs": 1,
            "batch_size": 4,
            "network": NETWORK,
            "optimizer": {"lr": 3e-3},
            "augment": {"flip": True, "rotate_degrees": 20},
            "workers": {"count": 2, "gpu": False},
            "registered_model": None,
        }
        return TrainConfig(name=name, **{**defaults, **settings})

    return make


@pytest.fixture(scope="module")
def config(make_config: Callable[..., TrainConfig]) -> TrainConfig:
    return make_config("two-workers", ema_decay=0.9, registered_model="dbd-ray")


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """What the run `trained` says while it runs."""
    return []


@pytest.fixture(scope="module")
def trained(config: TrainConfig, events: list[Event]) -> TrainedModel:
    return train(config, on_event=events.append)


def _runs(folder: Path, name: str) -> list[Run]:
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/runs/mlflow.db")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    return [run for run in runs if run.info.run_name == name]


def test_two_workers_leave_a_model_that_the_detector_loads(
    trained: TrainedModel, config: TrainConfig, folder: Path
) -> None:
    assert trained.folder == str(folder / "runs" / "two-workers" / "model")
    detector = Detector.load(trained.folder, device="cpu")
    found = detector.detect([np.zeros((50, 70, 3), np.uint8)])[0]
    assert found.focus.shape == (50, 70)
    assert found.depth is not None
    card = detector.card
    assert (card.name, card.input_size) == ("two-workers", (64, 64))
    assert card.metrics == {name: trained.metrics[f"val/{name}"] for name in METRIC_NAMES}
    assert (card.provenance["epoch"], card.provenance["data"][0]["sources"]) == (1, {"rendered": 24})
    assert json.loads((Path(trained.folder) / "history.json").read_text()) == trained.history
    assert [epoch["epoch"] for epoch in trained.history] == [1]
    assert trained.metrics["train/loss"] == pytest.approx(trained.metrics["train/bce"] + trained.metrics["train/depth"])


@pytest.mark.slow
def test_validation_shared_by_two_workers_is_that_of_one_with_the_kept_weights(
    trained: TrainedModel, config: TrainConfig, folder: Path
) -> None:
    network, _ = load_checkpoint(trained.folder)
    rows = rows_from_columns(read_rows(folder / "data", "val").to_pydict())
    learner = make_learner(
        config.model_copy(update={"ema_decay": None}), network, steps_per_epoch=1, device=torch.device("cpu")
    )
    alone: FocusMetrics = validate(learner, eval_batches(rows, batch_size=8))
    assert alone.images == 6
    assert {name: trained.metrics[f"val/{name}"] for name in METRIC_NAMES} == pytest.approx(alone.compute(), abs=1e-6)


def test_a_finished_run_is_not_repeated(trained: TrainedModel, config: TrainConfig, folder: Path) -> None:
    before = sorted(str(path) for path in (folder / "runs").rglob("*"))
    assert train(config) == trained
    # nor with workers that the cluster could never give: nothing is started
    assert train(config.model_copy(update={"workers": config.workers.model_copy(update={"cpus": 999.0})})) == trained
    assert sorted(str(path) for path in (folder / "runs").rglob("*")) == before


def test_other_settings_under_an_old_name_are_refused_by_their_fields(
    trained: TrainedModel, make_config: Callable[..., TrainConfig]
) -> None:
    other = make_config("two-workers", ema_decay=0.9, optimizer={"lr": 0.5}, epochs=2, registered_model="other")
    with pytest.raises(ConfigError, match="run two-workers exists in") as error:
        train(other)
    assert "epochs: 1 → 2" in str(error.value)
    assert "optimizer.lr: 0.003 → 0.5" in str(error.value)
    assert "weight_decay" not in str(error.value)
    assert "registered_model" not in str(error.value), "it may change, it is no part of what is trained"
    assert "choose another name, or delete that folder" in str(error.value)


DRIVER = """
import sys
import ray
from dbd_ray.config import TrainConfig
from dbd_ray.training.trainer import train
ray.init(address=sys.argv[1], logging_level="error", log_to_driver=False)
train(TrainConfig.model_validate_json(sys.argv[2]))
"""


@pytest.mark.chaos
def test_an_interrupted_run_goes_on_from_its_last_epoch_in_the_same_mlflow_run(
    make_config: Callable[..., TrainConfig], folder: Path, kill_once: Callable[..., None]
) -> None:
    config = make_config("interrupted", epochs=8, workers={"gpu": False})
    snapshot = folder / "runs" / "interrupted" / "checkpoint_manager_snapshot.json"
    address = ray.get_runtime_context().gcs_address
    kill_once(
        lambda: snapshot.exists() and "checkpoint_2" in snapshot.read_text(),
        [sys.executable, "-c", DRIVER, address, config.model_dump_json()],
    )
    (left,) = _runs(folder, "interrupted")
    assert not (folder / "runs" / "interrupted" / "model").exists()

    trained = train(config)
    assert [epoch["epoch"] for epoch in trained.history] == list(range(1, 9))
    (run,) = _runs(folder, "interrupted")
    assert run.info.run_id == left.info.run_id == trained.run_id
    assert run.info.status == "FINISHED"
    client = MlflowClient(tracking_uri=trained.tracking_uri)
    logged = client.get_metric_history(run.info.run_id, "train/loss")
    assert {entry.step for entry in logged} == set(range(1, 9))
    assert sum(entry.step == 1 for entry in logged) == 1, "the first epoch was trained twice"
    assert trained.metrics["val/mae"] == min(epoch["val/mae"] for epoch in trained.history)


def test_progress_arrives_while_the_run_goes_on(trained: TrainedModel, events: list[Event]) -> None:
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress
    assert all((at.epoch, at.epochs, at.steps) == (1, 1, 4) for at in progress)
    assert all(at.images_per_s > 0 and at.loss > 0 and at.seconds_left >= 0 for at in progress)
    notes = [event for event in events if isinstance(event, str)]
    assert notes[0].startswith("precision float32: ")
    assert notes[1].startswith("cached rows: ")
    assert notes[2].startswith("18 training and 6 validation rows; 4 steps of 4 an epoch, 2 on each of 2 worker(s)")
    assert notes[-2].startswith("epoch 1/1 done  loss ")
    assert notes[-1] == "registered as models:/dbd-ray/1"


def test_every_epoch_and_setting_is_in_mlflow(trained: TrainedModel, config: TrainConfig, folder: Path) -> None:
    (run,) = _runs(folder, "two-workers")
    assert (run.info.run_id, run.info.status) == (trained.run_id, "FINISHED")
    assert trained.tracking_uri == f"sqlite:///{folder}/runs/mlflow.db"
    client = MlflowClient(tracking_uri=trained.tracking_uri)
    for name in ("train/loss", "train/images_per_s", *(f"val/{metric}" for metric in METRIC_NAMES)):
        logged = [(entry.step, entry.value) for entry in client.get_metric_history(trained.run_id, name)]
        assert logged == [(epoch["epoch"], pytest.approx(epoch[name])) for epoch in trained.history]
    assert run.data.params["optimizer.lr"] == "0.003"
    assert run.data.params["network.backbone"] == "mobilenetv3_small_050"
    assert run.data.tags["data.0.fingerprint"]
    maps = [file.path for file in client.list_artifacts(trained.run_id, "maps")]
    assert maps == [f"maps/epoch-{epoch['epoch']:03d}.jpg" for epoch in trained.history]


@pytest.mark.slow
def test_the_model_is_a_candidate_in_mlflow_once_however_often_the_run_is_ended(
    trained: TrainedModel, config: TrainConfig, folder: Path
) -> None:
    card = load_checkpoint(trained.folder)[1]
    client = MlflowClient(tracking_uri=trained.tracking_uri)
    assert load_checkpoint(find_checkpoint("models:/dbd-ray@candidate", registry=trained.tracking_uri))[1] == card
    candidate = client.get_model_version_by_alias("dbd-ray", "candidate")
    (run,) = _runs(folder, "two-workers")
    assert candidate.run_id == run.info.run_id
    assert candidate.tags["fingerprint"] == card.fingerprint
    assert candidate.tags["data.fingerprints"] == run.data.tags["data.0.fingerprint"]
    assert float(candidate.tags["metrics.mae"]) == pytest.approx(trained.metrics["val/mae"], abs=1e-6)

    (folder / "runs" / "two-workers" / "result.json").unlink()  # as if it was killed right before it was finished
    assert train(config) == trained
    assert len(client.search_model_versions("name = 'dbd-ray'")) == 1
    assert [one.name for one in client.search_registered_models()] == ["dbd-ray"], "others did not ask for it"


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_terms(
    make_config: Callable[..., TrainConfig], folder: Path
) -> None:
    config = make_config("too-fast", optimizer={"name": "sgd", "lr": 1e30, "schedule": "constant"})
    events: list[Event] = []
    with pytest.raises(TrainingError) as error:
        train(config, on_event=events.append)
    assert str(error.value).startswith("run too-fast failed: step 2: loss term(s) bce=")
    assert sum(str(event).startswith("precision") for event in events) == 1, "what would fail again was tried again"
    assert "depth=" in str(error.value)
    (run,) = _runs(folder, "too-fast")
    assert run.info.status == "FAILED"
    assert not (folder / "runs" / "too-fast" / "model").exists()


@pytest.mark.slow
def test_one_worker_without_a_validation_split_keeps_the_last_epoch(
    make_config: Callable[..., TrainConfig], folder: Path
) -> None:
    config = make_config("no-val", data=[str(folder / "train only")], epochs=2, workers={"gpu": False})
    events: list[Event] = []
    trained = train(config, on_event=events.append)
    assert events[-1] == "the model is in its MLflow run, and not registered"
    assert [epoch["epoch"] for epoch in trained.history] == [1, 2]
    assert trained.metrics["epoch"] == 2
    assert not any(name.startswith("val/") for name in trained.metrics)
    assert Detector.load(trained.folder, device="cpu").card.provenance["epoch"] == 2


@pytest.mark.slow
def test_a_model_that_cannot_be_registered_is_said_and_costs_nothing(
    make_config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    (tmp_path / "mlartifacts").touch()  # where files of MLflow's runs would go
    config = make_config("unregistered", storage=str(tmp_path), workers={"gpu": False}, registered_model="dbd-ray")
    events: list[Event] = []
    trained = train(config, on_event=events.append)
    maps, model = (str(event) for event in events if "MLflow failed (" in str(event))
    assert maps.endswith("no maps")
    assert f"the model is in {trained.folder} alone, and `dbd-ray evaluate --promote` can register it" in model
    client = MlflowClient(tracking_uri=trained.tracking_uri)
    assert client.get_run(trained.run_id).info.status == "FINISHED"
    assert list(client.search_registered_models()) == []
    assert load_checkpoint(trained.folder)[1].name == "unregistered"


def test_settings_that_do_not_fit_the_data_do_not_hold_the_name(
    make_config: Callable[..., TrainConfig], folder: Path
) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.json is missing"):
        train(make_config("unclaimed", data=[str(folder / "dtaa")]))
    with pytest.raises(ConfigError, match="select_by: 'accuracy' is no metric; choose one of mae"):
        train(make_config("unclaimed", select_by="accuracy"))
    assert not (folder / "runs" / "unclaimed").exists()
    assert {run.info.status for run in _runs(folder, "unclaimed")} <= {"FAILED"}


def test_datasets_of_different_sizes_are_refused_before_anything_starts(
    make_config: Callable[..., TrainConfig], folder: Path
) -> None:
    prepare_scenes(3, folder / "larger", config=SceneConfig(size=(64, 80)))
    both = make_config("sizes", data=[str(folder / "data"), str(folder / "larger")])
    with pytest.raises(DatasetError, match="prepare all at one --size"):
        make_trainer(both)
