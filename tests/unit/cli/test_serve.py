"""Promises about Ray Serve's settings on one machine."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

from dbd_ray.cli import main
from dbd_ray.cli import serve as command
from dbd_ray.cli.serve import ONE_MACHINE, suit_one_machine
from dbd_ray.serving import local

_READ = """
from dbd_ray.cli.serve import suit_one_machine

suit_one_machine()
from ray.serve._private import constants

print(constants.CONTROL_LOOP_INTERVAL_S)
print(constants.RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD)
print(constants.RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP)
"""


def test_what_the_shell_says_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ONE_MACHINE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_SERVE_CONTROL_LOOP_INTERVAL_S", "7")
    suit_one_machine()
    assert {name: os.environ[name] for name in ONE_MACHINE} == {**ONE_MACHINE, "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "7"}


def test_ray_serve_takes_these_settings() -> None:
    read = subprocess.run([sys.executable, "-c", _READ], capture_output=True, text=True, check=True).stdout
    assert read.split() == ["0.5", "False", "False"]


def test_it_says_what_it_is_doing_while_it_starts_and_when_it_is_ready(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def endpoint(config: Any, *, host: str, port: int, on_step: Callable[[str], None]) -> Iterator[str]:
        on_step(f"loading {config.model}")
        yield f"http://{host}:{port}"

    def interrupted() -> None:
        raise KeyboardInterrupt

    for name in (*ONE_MACHINE, "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(command, "local_or_cluster", nullcontext)
    monkeypatch.setattr(local, "endpoint", endpoint)
    monkeypatch.setattr(signal, "pause", interrupted)
    with pytest.raises(SystemExit) as stopped_by:
        main(["serve", "--port", "8123"])
    assert not stopped_by.value.code
    said = capsys.readouterr()
    assert said.out.startswith("lite answers at http://127.0.0.1:8123 (")
    *steps, stopped = said.err.splitlines()
    assert [re.sub(r"^ *\d+ s  ", "", step) for step in steps] == [
        "starting Ray on this machine",
        "loading lite",
        "ready",
    ]
    assert all(re.match(r" *\d+ s  ", step) for step in steps)
    assert stopped == "stopped"
