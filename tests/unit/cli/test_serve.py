"""Promises about Ray Serve's settings on one machine."""

import os
import subprocess
import sys

import pytest

from dbd_ray.cli.serve import ONE_MACHINE, suit_one_machine

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
