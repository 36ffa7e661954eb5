"""`dbd-ray doctor` tells what a machine has, survives whatever is broken there, and starts and leaves nothing."""

import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.checkpoints.find import packaged_models
from dbd_ray.cli import main
from dbd_ray.cli.checkup import engines, machine, packages, places, surroundings
from dbd_ray.cli.checkup.finding import Check, Finding, run_check
from dbd_ray.engines.base import NetworkMaps
from dbd_ray.engines.choose import candidates
from dbd_ray.engines.measure import measured_speeds

ROOT = Path(__file__).parents[3]
LOOK = """
import os, sys
from dbd_ray.cli import main
try:
    main(["doctor"])
except SystemExit as stopped:
    assert "ray" not in sys.modules, "imported Ray, which may start one"
    raise
"""
NOBODY = """
import pwd

def nobody(uid):
    raise KeyError(uid)

pwd.getpwuid = nobody
"""


class _Instant(NamedTuple):
    """An engine that takes no time."""

    name: str

    def __call__(self, photos: torch.Tensor) -> NetworkMaps:
        return NetworkMaps(photos[:, 0].float(), None)


def _doctor(folder: Path, code: str = LOOK, **changed: str | None) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_", "DBD_RAY"))}
    variables = {**clean, "DBD_RAY_CACHE": str(folder / "cache"), **changed}
    given = {name: value for name, value in variables.items() if value is not None}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False)


def _rows(said: str) -> dict[str, tuple[str, str]]:
    return {about: (state, found) for about, state, found in (line.split("\t") for line in said.splitlines()[1:])}


def _found(check: Check) -> dict[str, tuple[str, str]]:
    return {one.about: (one.state, one.text) for one in run_check("it", check)}


def test_it_looks_at_everything_in_one_table_and_leaves_nothing(tmp_path: Path) -> None:
    done = _doctor(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = _rows(done.stdout)
    assert {"dbd_ray", "Python", "processor", "memory", "model lite", "engine auto", "Ray", "MLflow"} <= rows.keys()
    assert {"extra heif", "endpoint's keys", "home", "current folder", "engines' cache"} <= rows.keys()
    assert any(about.startswith("GPU") for about in rows)
    assert any(about.startswith("Ray's folder") for about in rows)
    assert done.stderr.splitlines()[-1] == "no faults"
    assert list(tmp_path.iterdir()) == []


def test_a_user_without_a_home_gets_the_table_with_what_to_do(tmp_path: Path) -> None:
    done = _doctor(tmp_path, NOBODY + LOOK, HOME=None, DBD_RAY_CACHE=None, XDG_CACHE_HOME=None)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    rows = _rows(done.stdout)
    assert rows["home"] == ("fault", "this user has no home folder: set HOME to a folder that it may write to")
    assert rows["Ray"][0] == "ok"


def test_secrets_are_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://alice:hush-hush-hush@127.0.0.1:1")
    monkeypatch.setenv("DBD_RAY_API_KEYS", "key-that-nobody-may-see")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "token-that-nobody-may-see")
    with pytest.raises(SystemExit) as stopped:
        main(["doctor"])
    assert stopped.value.code == 1
    said = "".join(capsys.readouterr())
    assert re.search(r"MLflow\tfault\thttp://alice:\*\*\*@127.0.0.1:1: MLflow cannot be used there", said)
    assert "1 fault\n" in said
    assert not re.search("hush-hush-hush|that-nobody-may-see", said)


def test_a_check_that_fails_or_never_ends_is_a_row_and_no_end() -> None:
    def fails() -> Iterator[Finding]:
        yield Finding("first", "ok", "there")
        raise SystemExit("the library ends the process")

    assert run_check("it", fails) == [
        Finding("first", "ok", "there"),
        Finding("it", "fault", "SystemExit: the library ends the process"),
    ]
    released = threading.Event()

    def hangs() -> Iterator[Finding]:
        released.wait()
        yield Finding("it", "ok", "")

    assert run_check("it", hangs, 0.05) == [Finding("it", "fault", "no answer within 0.05 s")]
    released.set()


def test_every_extra_is_told_an_absent_one_with_its_command_and_a_broken_one_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert packages.EXTRAS.keys() == declared.keys() - {"demo", "docs", "dev"}
    for extra, (names, _) in packages.EXTRAS.items():
        assert names.keys() == {re.split("[>=]", one)[0] for one in declared[extra]}
    monkeypatch.setitem(sys.modules, "rawpy", None)
    (tmp_path / "pillow_jxl.py").write_text("raise ImportError('libjxl.so.0: no such file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pillow_jxl", raising=False)
    rows = _found(packages.find_extras)
    state, told = rows["extra jxl"]
    assert state == "fault" and "pillow-jxl-plugin is installed but does not load (libjxl.so.0: no such file)" in told
    assert rows["extra raw"] == ("note", "no rawpy (camera raw files): pip install -e '.[raw]'")
    assert rows["extra heif"][0] == "ok"


def test_it_tells_which_engine_auto_takes_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBD_RAY_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "which the first photo will measure" in _found(engines.find_engines)["engine auto"][1]
    assert list(tmp_path.iterdir()) == []
    network, card = load_checkpoint(packaged_models()["lite"])
    device = torch.device("cpu")
    names = candidates(device)
    assert len(names) > 1
    speeds = measured_speeds(network, card.input_size, device, {name: _Instant(name) for name in names})
    fastest = max(speeds, key=lambda name: speeds[name])
    state, text = _found(engines.find_engines)["engine auto"]
    assert (state, text.split(":")[0]) == ("ok", f"takes {fastest}")
    assert all(f"{name} {speed:.1f}" in text for name, speed in speeds.items())


def test_an_engine_that_does_not_load_is_a_fault_and_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openvino").mkdir()
    (tmp_path / "openvino" / "__init__.py").write_text("raise OSError('libtbb.so: no such file')")
    for name in [name for name in sys.modules if name.partition(".")[0] == "openvino"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("DBD_RAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rows = _found(engines.find_engines)
    assert rows["engines openvino"] == ("fault", "openvino is installed but does not load: libtbb.so: no such file")
    assert "openvino" not in rows["engine auto"][1]


def test_a_gpu_that_torch_cannot_use_is_a_fault_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(machine, "DRIVER", tmp_path / "version")
    assert _found(machine.find_gpu)["GPU"][0] == "ok"
    (tmp_path / "version").touch()
    state, text = _found(machine.find_gpu)["GPU"]
    assert state == "fault"
    assert "cannot use it" in text
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "is for CPUs alone; install torch with CUDA" in _found(machine.find_gpu)["GPU"][1]


def test_a_port_that_is_taken_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(surroundings, "PORTS", {port: "an agent: give it another"})
        assert _found(surroundings.find_ports) == {
            f"port {port}": ("note", "taken, perhaps by an agent: give it another")
        }
    assert _found(surroundings.find_ports) == {"Ray's ports": ("ok", f"free: {port}")}


def test_addresses_that_nobody_answers_at_are_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
    assert run_check("Ray", surroundings.find_ray)[0].state == "fault"
    state, text = _found(surroundings.find_dashboards)["RAY_API_SERVER_ADDRESS"]
    assert state == "fault"
    assert text.startswith("http://127.0.0.1:1 does not answer")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert address in _found(surroundings.find_ray)["Ray"][1]


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_dashboard_that_answers_is_found_with_and_without_a_scheme(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", f"{scheme}127.0.0.1:{listening.getsockname()[1]}")
        assert _found(surroundings.find_dashboards)["RAY_API_SERVER_ADDRESS"][0] == "ok"


def test_tokens_are_told_by_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)

    def told() -> tuple[str, str]:
        return _found(surroundings.find_tokens)["Ray's token"]

    assert told() == ("ok", "RAY_AUTH_MODE is not set, there is none")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert told()[0] == "fault"
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret")
    assert told() == ("ok", f"RAY_AUTH_MODE=token, there is one in {tmp_path}/.ray/auth_token")
    monkeypatch.delenv("RAY_AUTH_MODE")
    assert told()[0] == "note"


def test_the_endpoints_keys_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBD_RAY_API_KEYS", "short")
    (only,) = run_check("endpoint's keys", surroundings.find_keys)
    assert only.state == "fault"
    assert "has fewer than 16 characters" in only.text


def test_folders_that_cannot_be_written_to_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DBD_RAY_CACHE", str(tmp_path / "file" / "cache"))
    state, text = _found(places.find_cache)["engines' cache"]
    assert state == "note"
    assert f"{tmp_path}/file/cache cannot be written to (Not a directory)" in text
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file"))
    assert _found(places.find_hub_cache)["HF_HOME"][0] == "note"
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "file"))
    assert next(iter(_found(places.find_temporary).values()))[0] == "fault"
    monkeypatch.setenv("RAY_TMPDIR", f"/tmp/{'x' * 60}")
    assert "too long for Ray's sockets" in _found(places.find_temporary)["Ray's folder (RAY_TMPDIR)"][1]


def test_the_store_of_runs_is_looked_at_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert _found(places.find_store)["MLflow"] == (
        "ok",
        "runs/mlflow.db below the current folder, which the first run makes",
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/there/mlflow.db")
    assert _found(places.find_store)["MLflow"][0] == "ok"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mlflow.db").write_text("no database at all, but a text")
    assert _found(places.find_store)["MLflow"][0] == "fault"
    (tmp_path / "there" / "mlflow.db").unlink()
    with sqlite3.connect(tmp_path / "there" / "mlflow.db") as database:
        database.execute("create table runs (run_uuid text)")
        database.execute("insert into runs values ('one')")
    assert _found(places.find_store)["MLflow"] == (
        "ok",
        f"MLFLOW_TRACKING_URI: {tmp_path}/there/mlflow.db, runs: 1",
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///tmp/mlruns")
    assert _found(places.find_store)["it"][0] == "fault"
