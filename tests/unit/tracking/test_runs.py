"""MLflow's database is in the folder that was named, whatever signs its name has."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from dbd_ray.tracking.runs import KIND_TAG, RunLog, UsedData, tracking_uri
from dbd_ray.tracking.store import database_file, require_store


@pytest.mark.parametrize("name", ["feature%2Flogin", "what?", "#1 [a] 'b' é", "x" * 200])
def test_the_database_is_in_the_folder_that_was_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    uri = tracking_uri(tmp_path / name / "runs")
    assert database_file(uri) == tmp_path / name / "runs" / "mlflow.db"
    log = RunLog.open(uri, "a run")
    (tmp_path / name / "files").mkdir()
    (tmp_path / name / "files" / "report.md").touch()
    log.files(tmp_path / name / "files")
    assert [one.path for one in MlflowClient(tracking_uri=uri).list_artifacts(log.run_id)] == ["report.md"]
    assert (tmp_path / name / "runs" / "mlflow.db").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [name], "MLflow makes the folder of an escaped name beside it"


def test_mlflow_shows_data_source_description_and_kind(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    log = RunLog.open(uri, "a run", key="same")
    used = [UsedData("s3://me:s3cr3t@bucket/cuhk", "f" * 64, {"train": 8}, "training")]
    for again in (log, RunLog.open(uri, "a run", key="same")):
        again.describe("train", "lite on cuhk", used)
    client = MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_run(log.run_id).info.experiment_id], f"tags.`{KIND_TAG}` = 'train'")
    tags = run.data.tags
    assert (tags["mlflow.source.name"], tags["mlflow.note.content"]) == ("dbd-ray train", "lite on cuhk")
    assert run.inputs
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest, data.tags[0].value) == ("cuhk", "f" * 36, "training")
    assert data.dataset.profile
    assert json.loads(data.dataset.profile) == {"train": 8}
    assert "s3cr3t" not in data.dataset.source


def test_a_look_at_a_database_that_is_not_there_yet_does_not_make_it(tmp_path: Path) -> None:
    require_store(f"sqlite:///{tmp_path}/mlflow.db")
    assert list(tmp_path.iterdir()) == []


def test_a_server_is_no_database_file() -> None:
    assert database_file("http://tracking:5000") is None
    assert database_file("postgresql://me@host/mlflow") is None


def test_settings_are_recorded_whatever_letters_a_studys_labels_have(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    log = RunLog.open(uri, "a study", params={"rows": {"+depth, γ=1": {"seed": 1}}, "plain.one-two": 2})
    assert MlflowClient(tracking_uri=uri).get_run(log.run_id).data.params == {
        "rows._depth_ γ_1.seed": "1",
        "plain.one-two": "2",
    }
