"""Faults of the surroundings are one line with what to do, and end a command before its work begins."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray

from dbd_ray.cli.session import check_reachable, local_or_cluster
from dbd_ray.errors import ConfigError, DbdRayError
from dbd_ray.tracking import store
from dbd_ray.tracking.store import require_store

# what pathlib meets where a container runs as a user that its image does not know
_WITHOUT_HOME = """
import os, pwd, sys

def nobody(uid):
    raise KeyError(uid)

os.environ.pop("HOME", None)
pwd.getpwuid = nobody
from dbd_ray.cli import main
main(["evaluate", "lite", "--root", "F", "--layout", "folder", "--polarity", "focus", "--out", "report"])
"""


@pytest.mark.parametrize(
    ("said_by_ray", "told"),
    [
        (
            "validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /x",
            "too long for Ray's sockets",
        ),
        ("[Errno 13] Permission denied: '/x'", "Permission denied"),
    ],
)
def test_a_folder_that_ray_cannot_use_is_named(
    said_by_ray: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**given: Any) -> None:
        raise OSError(said_by_ray)

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ConfigError, match=f"RAY_TMPDIR={tmp_path}: .*{told}.*set RAY_TMPDIR"), local_or_cluster():
        pass


def test_a_tracking_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PROBE_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"{uri}: no MLflow server answered within 0.2 s; start its server"):
            require_store(uri)


def test_a_database_without_its_driver_names_the_package() -> None:
    with pytest.raises(ConfigError, match=r"MLflow cannot be used there: .*pip install pymysql"):
        require_store("mysql+pymysql://db.example/mlflow")


def test_a_user_without_home_is_told_what_to_set(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _WITHOUT_HOME], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "error: this user has no home folder: set HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_gone_is_told_before_any_library_is_loaded(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os; os.rmdir({str(gone)!r}); from dbd_ray.cli import main; main(['doctor'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=gone, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "error: the current folder is gone: cd to another one\n")


@pytest.mark.parametrize("address", ["http://[::1", "[::1:6379", "ray://[bad]:1"])
def test_an_address_of_ray_that_is_none_is_told_by_its_variable(address: str) -> None:
    with pytest.raises(DbdRayError, match=r"RAY_ADDRESS=.*: no Ray answers there"):
        check_reachable(address)
