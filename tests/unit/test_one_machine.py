"""Promises about Ray Serve's settings on one machine."""

import importlib
import os

import pytest
from ray.serve._private import constants

from dbd_ray.cli.one_machine import SETTINGS, suit_one_machine


def test_what_the_shell_says_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_SERVE_CONTROL_LOOP_INTERVAL_S", "7")
    suit_one_machine()
    assert {name: os.environ[name] for name in SETTINGS} == {**SETTINGS, "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "7"}


def test_ray_serve_reads_these_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    read = vars(importlib.reload(constants))
    try:
        assert read["CONTROL_LOOP_INTERVAL_S"] == 0.5
        assert read["RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD"] is False
        assert read["RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP"] is False
    finally:
        monkeypatch.undo()
        importlib.reload(constants)
