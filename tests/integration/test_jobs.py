"""Every job as people submit it: from a clean clone, to a cluster of `ray start --head`, with an MLflow server."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from mlflow import MlflowClient

pytestmark = [pytest.mark.ray, pytest.mark.cluster]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef0123456789abcdef"}
MODES: dict[str, dict[str, str]] = {"token": TOKEN, "no-token": {"RAY_AUTH_MODE": "disabled"}}

Submit = Callable[..., subprocess.CompletedProcess[str]]


class Head(NamedTuple):
    """A running cluster.

    Attributes:
        mode: One of `MODES`.
        address: URL of its dashboard.
        environment: Variables with which a client may use it.
    """

    mode: str
    address: str
    environment: dict[str, str]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone of this repository holds."""
    clone = tmp_path_factory.mktemp("clone")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    return clone


@pytest.fixture(scope="module", params=["token", pytest.param("no-token", marks=pytest.mark.slow)])
def head(request: pytest.FixtureRequest, start_cluster: Any) -> Iterator[Head]:
    """A cluster with token authentication and without."""
    with start_cluster(MODES[request.param]) as cluster:
        yield Head(request.param, cluster.address, cluster.environment)


@pytest.fixture(scope="module")
def submit(head: Head, clone: Path, mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> Submit:
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def run(*entrypoint: str, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        settings = json.dumps({"env_vars": {"MLFLOW_TRACKING_URI": mlflow_server}})
        command: list[str | Path] = [BIN / "ray", "job", "submit", "--address", head.address, "--working-dir", clone]
        done = subprocess.run(
            [*command, "--runtime-env-json", settings, "--", "python", *entrypoint],
            cwd=elsewhere,
            env={**head.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def folder(
    head: Head,
    clone: Path,
    part_of_cuhk: Callable[..., None],
    tiny_depth_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Ten real photos in CUHK's layout, of which three test; every job's settings are in the clone."""
    folder = tmp_path_factory.mktemp(head.mode)
    part_of_cuhk(folder / "cuhk", photos=10, test=3)
    data = str(folder / "data")
    settings: dict[str, dict[str, Any]] = {
        "prepare": {"root": str(folder / "cuhk"), "out": data, "size": [64, 64], "validation_fraction": 0.3},
        "teach": {"teacher": f"self:{tiny_depth_model}", "data": data, "pictures": "prepared"},
        "train": {
            "name": "tiny",
            "data": [data],
            "storage": str(folder / "runs"),
            "epochs": 1,
            "batch_size": 2,
            "network": {"backbone": "mobilenetv3_small_050", "srfb": "none", "reduction": 16},
            "registered_model": head.mode,
        },
        "evaluate": {
            "model": f"models:/{head.mode}@candidate",
            "prepared": data,
            "out": str(folder / "report"),
            "promote": True,
            "registered_model": head.mode,
        },
    }
    for name, values in settings.items():
        (clone / "jobs" / "configs" / f"tiny-{name}.yaml").write_text(yaml.safe_dump(values))
    return folder


def _job(name: str) -> tuple[str, str, str]:
    return f"jobs/{name}.py", "--config", f"jobs/configs/tiny-{name}.yaml"


def test_who_has_no_token_is_refused_where_one_is_needed(head: Head, submit: Submit) -> None:
    if head.mode == "token":
        refused = submit("-c", "pass", status=1, RAY_AUTH_TOKEN="f" * 32)
        assert "token" in refused.stdout + refused.stderr


@pytest.mark.timeout(1800)
def test_every_job_runs_and_leaves_a_champion(head: Head, submit: Submit, folder: Path, mlflow_server: str) -> None:
    said = submit(*_job("prepare")).stdout
    assert "3 test" in said
    assert json.loads((folder / "data" / "dataset.json").read_text())["depth_rows"] == 0

    submit(*_job("teach"))
    assert json.loads((folder / "data" / "dataset.json").read_text())["depth_rows"] == 10

    said = submit(*_job("train")).stdout
    assert f"registered as models:/{head.mode}/1" in said
    assert (folder / "runs" / "tiny" / "model" / "card.json").exists()

    said = submit(*_job("evaluate")).stdout
    assert f"models:/{head.mode}/1 is @champion now: the first one" in said
    assert (folder / "report" / "report.html").exists()
    client = MlflowClient(tracking_uri=mlflow_server)
    champion = client.get_model_version_by_alias(head.mode, "champion")
    assert champion.run_id is not None
    assert client.get_run(champion.run_id).info.status == "FINISHED"


def test_results_that_would_be_lost_with_the_jobs_copy_of_the_folder_are_refused(submit: Submit, folder: Path) -> None:
    refused = submit(*_job("train"), "--set", "name=lost", "--set", "storage=runs", status=1)
    assert "error: storage: runs would lie in this job's own copy of the working folder" in refused.stdout
