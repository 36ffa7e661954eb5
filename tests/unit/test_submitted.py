"""Results in a submitted job's own folder would be lost; elsewhere any folder will do."""

import json

import pytest

from dbd_ray.cli import main
from dbd_ray.cli.submitted import JOB_CONFIG, folder_of_records, require_lasting
from dbd_ray.errors import ConfigError


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
