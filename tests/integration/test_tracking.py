import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from dbd_ray.errors import ConfigError
from dbd_ray.tracking.runs import EXPERIMENT, RunLog, attempt, flatten, tracking_uri


@pytest.fixture(autouse=True)
def _no_server_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)


def test_a_run_records_settings_metrics_and_tags(store: str) -> None:
    settings = {"optimizer": {"lr": 0.1, "clip_norm": None}, "data": ["a", "b"], "note": "x" * 9000}
    log = RunLog.open(store, "records", params=settings)
    log.metrics({"train/loss": 2.0, "val/mae": 0.5}, step=1)
    log.metrics({"train/loss": 1.0}, step=2)
    log.tags({"data.fingerprint": "abc", "rows": 3})
    client = MlflowClient(tracking_uri=store)
    assert client.get_run(log.run_id).info.status == "RUNNING"
    log.finish()
    run = client.get_run(log.run_id)
    assert (run.info.run_name, run.info.status) == ("records", "FINISHED")
    assert run.data.params["optimizer.lr"] == "0.1"
    assert run.data.params["data"] == "['a', 'b']"
    assert run.data.params["note"].startswith("xxx")
    assert (run.data.tags["data.fingerprint"], run.data.tags["rows"]) == ("abc", "3")
    history = client.get_metric_history(log.run_id, "train/loss")
    assert [(entry.step, entry.value) for entry in history] == [(1, 2.0), (2, 1.0)]


def test_more_settings_than_a_server_takes_at_once_all_arrive(store: str) -> None:
    log = RunLog.open(store, "many", params={f"setting-{number}": number for number in range(230)})
    assert len(MlflowClient(tracking_uri=store).get_run(log.run_id).data.params) == 230


AWKWARD_KEYS = ("runs/mine", "/home/Bob's runs/mine", 'quo"ted', "back`tick", "s3://bucket/ü run", "%27")


@pytest.mark.parametrize(
    ("store", "key"),
    [*(("sqlite", key) for key in AWKWARD_KEYS), ("mlflow_server", AWKWARD_KEYS[1])],
    indirect=["store"],
)
def test_the_same_key_goes_on_in_the_same_run(store: str, key: str) -> None:
    first = RunLog.open(store, "resumed", key=key)
    first.metrics({"loss": 1.0}, step=1)
    first.finish(failed=True)
    client = MlflowClient(tracking_uri=store)
    assert client.get_run(first.run_id).info.status == "FAILED"

    again = RunLog.open(store, "resumed", key=key)
    assert again.run_id == first.run_id
    assert client.get_run(first.run_id).info.status == "RUNNING"
    again.metrics({"loss": 0.5}, step=2)
    assert [entry.step for entry in client.get_metric_history(first.run_id, "loss")] == [1, 2]
    assert RunLog.open(store, "resumed", key=key + "2").run_id != first.run_id


def test_without_a_key_every_run_is_new(store: str) -> None:
    assert RunLog.open(store, "new").run_id != RunLog.open(store, "new").run_id


def test_a_run_can_be_written_to_from_another_process(store: str) -> None:
    log = RunLog.open(store, "elsewhere")
    script = (
        "import sys; from dbd_ray.tracking.runs import RunLog; RunLog(*sys.argv[1:]).metrics({'loss': 0.25}, step=7)"
    )
    subprocess.run([sys.executable, "-c", script, log.uri, log.run_id], check=True, capture_output=True)
    (entry,) = MlflowClient(tracking_uri=store).get_metric_history(log.run_id, "loss")
    assert (entry.step, entry.value) == (7, 0.25)


def test_files_lie_beside_the_database_whatever_folder_the_command_ran_in(
    sqlite: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log = RunLog.open(sqlite, "files")
    log.files(tiny_model, under="model")
    beside = Path(sqlite.removeprefix("sqlite:///")).parent / "mlartifacts"
    assert list(beside.rglob(f"{log.run_id}/artifacts/model/card.json"))
    assert list(tmp_path.iterdir()) == []


def test_runs_are_in_one_experiment(store: str) -> None:
    RunLog.open(store, "a")
    RunLog.open(store, "b")
    experiments = MlflowClient(tracking_uri=store).search_experiments(filter_string=f"name = '{EXPERIMENT}'")
    assert len(experiments) == 1


def test_the_store_is_a_database_beside_local_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert tracking_uri("runs") == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert (tmp_path / "runs").is_dir()


def test_a_named_server_is_used_wherever_checkpoints_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert tracking_uri("s3://bucket/runs") == tracking_uri("runs") == "http://tracking:5000"


@pytest.mark.parametrize("uri", ["databricks", "databricks://profile", "postgresql://me@host/mlflow"])
def test_every_kind_of_server_that_mlflow_knows_is_accepted(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert tracking_uri("s3://bucket/runs") == uri


def test_a_database_below_the_current_folder_is_the_same_one_from_everywhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///new/mlflow.db?timeout=60")
    uri = tracking_uri("runs")
    assert uri == f"sqlite:///{tmp_path}/here/new/mlflow.db?timeout=60"
    log = RunLog.open(uri, "here")
    monkeypatch.chdir(tmp_path / "elsewhere")
    RunLog(log.uri, log.run_id).metrics({"loss": 1.0})
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address where nobody answers, and no patience."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_a_server_that_does_not_answer_is_named(no_server: str) -> None:
    with pytest.raises(ConfigError, match=f"{no_server}: MLflow cannot be used there .*correct MLFLOW_TRACKING_URI"):
        RunLog.open(no_server, "nowhere")


def test_a_failure_to_record_is_said_and_ends_nothing(no_server: str) -> None:
    said: list[str] = []
    attempt(lambda: RunLog(no_server, "run").metrics({"loss": 1.0}), said.append)
    attempt(lambda: RunLog(no_server, "run").finish(), said.append)
    assert [text.startswith("MLflow failed (") for text in said] == [True, True]


def test_epochs_that_were_not_recorded_are_added_once(store: str) -> None:
    log = RunLog.open(store, "gaps")
    history = [{"epoch": epoch, "train/loss": 1 / epoch} for epoch in range(1, 5)]
    for epoch in (1, 3):
        log.metrics(history[epoch - 1], step=epoch)
    for _ in range(2):
        log.missing_metrics(history)
    logged = MlflowClient(tracking_uri=store).get_metric_history(log.run_id, "train/loss")
    assert sorted((entry.step, entry.value) for entry in logged) == [(epoch, 1 / epoch) for epoch in range(1, 5)]


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "file:mlruns", "mlruns", "/home/me/mlruns"])
def test_a_file_store_is_refused_with_what_to_use(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(ConfigError, match=f"MLFLOW_TRACKING_URI={uri}: .*use sqlite"):
        tracking_uri("runs")


def test_remote_checkpoints_without_a_server_are_refused() -> None:
    with pytest.raises(ConfigError, match="storage s3://bucket/runs is remote: set MLFLOW_TRACKING_URI"):
        tracking_uri("s3://bucket/runs")


def test_nested_settings_are_flattened() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": [1]}, "e": None}) == {"a.b.c": 1, "a.d": [1], "e": None}
