"""What the Ray that a command starts for itself is told, and which results a submitted job refuses to lose."""

import json
import os
from typing import Any

import pytest
import ray

from dbd_ray.cli import main
from dbd_ray.cli.session import (
    DASHBOARD_VARIABLE,
    JOB_CONFIG,
    folder_of_records,
    local_or_cluster,
    require_lasting,
)
from dbd_ray.errors import ConfigError

ELSEWHERE = "http://elsewhere:8265"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, dict[str, Any]]]:
    """The dashboard's address in the environment that Ray inherits, and the arguments, of every start."""
    starts: list[tuple[str | None, dict[str, Any]]] = []
    monkeypatch.setenv("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **given: starts.append((os.environ.get(DASHBOARD_VARIABLE), given)))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    return starts


@pytest.mark.parametrize("of_the_shell", [ELSEWHERE, None])
def test_a_ray_without_dashboard_asks_none_that_the_shell_names(
    of_the_shell: str | None, started: list[tuple[str | None, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv(DASHBOARD_VARIABLE, raising=False)
    if of_the_shell:
        monkeypatch.setenv(DASHBOARD_VARIABLE, of_the_shell)
    with local_or_cluster():
        assert DASHBOARD_VARIABLE not in os.environ
    ((address, given),) = started
    assert address is None
    assert (given["address"], given["include_dashboard"], given["dashboard_port"]) == ("local", False, 0)
    assert os.environ.get(DASHBOARD_VARIABLE) == of_the_shell, "as it was before"


def test_a_ray_with_dashboard_asks_its_own(
    started: list[tuple[str | None, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv(DASHBOARD_VARIABLE, ELSEWHERE)
    with local_or_cluster(dashboard=True):
        pass
    ((address, given),) = started
    assert address == f"http://127.0.0.1:{given['dashboard_port']}"
    assert os.environ[DASHBOARD_VARIABLE] == ELSEWHERE


def test_a_cluster_keeps_the_dashboard_that_the_shell_names(
    started: list[tuple[str | None, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setenv(DASHBOARD_VARIABLE, ELSEWHERE)
    with local_or_cluster():
        pass
    ((address, given),) = started
    assert (address, given["address"]) == (ELSEWHERE, None)
    assert "include_dashboard" not in given


def test_a_relative_folder_is_refused_only_in_a_submitted_jobs_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(JOB_CONFIG, raising=False)
    require_lasting(storage="runs")
    monkeypatch.setenv(JOB_CONFIG, json.dumps({"runtime_env": {"env_vars": {}}, "metadata": {}}))
    require_lasting(storage="runs")  # submitted without --working-dir: the cluster's own folder, which stays
    monkeypatch.setenv(JOB_CONFIG, json.dumps({"runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip"}}))
    require_lasting(storage="/shared/runs", out="s3://bucket/report", data=None)
    with pytest.raises(ConfigError, match=r"out: report would lie in this job's own copy.*give a URI, or an absolute"):
        require_lasting(storage="/shared/runs", out="report")


@pytest.mark.parametrize("command", ["tune", "ablate"])
def test_a_submitted_study_refuses_a_relative_folder(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(JOB_CONFIG, json.dumps({"runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip"}}))
    with pytest.raises(SystemExit):
        main([command, "--set", "name=s", "--set", "train.data=[/shared/data]", "--set", "train.epochs=2"])
    assert "train.storage: runs would lie in this job's own copy" in capsys.readouterr().err


def test_mlflows_database_needs_no_folder_where_there_is_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert folder_of_records("runs") == "runs"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert folder_of_records("runs") is None
