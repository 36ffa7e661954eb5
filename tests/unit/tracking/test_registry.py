"""What is fetched from the registry does not pile up on the disk."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from dbd_ray import Detector
from dbd_ray.checkpoints.files import CARD, read_card
from dbd_ray.checkpoints.find import find_checkpoint, opened_checkpoint
from dbd_ray.config import ObjectiveConfig
from dbd_ray.errors import CheckpointError
from dbd_ray.tracking.runs import RunLog, tracking_uri
from dbd_ray.training.detector_teachers import load_detector_teachers


@pytest.fixture(scope="module")
def store(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registry with the models `tiny` and `not-ours`."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        uri = tracking_uri(folder)
    (folder / "other").mkdir()
    (folder / "other" / "weights.bin").touch()
    log = RunLog.open(uri, "trained")
    client = MlflowClient(tracking_uri=uri)
    for name, files in (("tiny", tiny_model), ("not-ours", folder / "other")):
        log.files(files, under=name)
        client.create_registered_model(name)
        client.create_model_version(name, f"{client.get_run(log.run_id).info.artifact_uri}/{name}", log.run_id)
    return uri


@pytest.fixture(autouse=True)
def temporary(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    return folder


def test_a_registered_model_is_on_the_disk_for_as_long_as_it_is_read(temporary: Path, tiny_model: Path) -> None:
    with opened_checkpoint("models:/tiny/1") as folder:
        assert temporary in folder.parents
        assert read_card(folder) == read_card(tiny_model)
    assert not list(temporary.iterdir())
    assert Detector.load("models:/tiny/1", device="cpu", engine="eager").card == read_card(tiny_model)
    assert not list(temporary.iterdir())
    taught = ObjectiveConfig(teacher_checkpoints=("models:/tiny/1",), teacher_weight=1)
    assert load_detector_teachers(taught)[0].name.startswith("tiny@")
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("uri", ["models:/absent/1", "models:/not-ours/1"])
def test_what_cannot_be_fetched_leaves_nothing(uri: str, temporary: Path) -> None:
    with pytest.raises(CheckpointError, match=uri):
        find_checkpoint(uri)
    assert not list(temporary.iterdir())


def test_a_model_that_was_fetched_to_be_kept_is_deleted_when_the_process_ends(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_end: list[Callable[[], object]] = []
    monkeypatch.setattr("atexit.register", at_the_end.append)
    folder = find_checkpoint("models:/tiny/1")
    assert (folder / CARD).is_file()
    for action in at_the_end:
        action()
    assert not list(temporary.iterdir())
