"""OpenVINO is loaded without what reports its use."""

import os
import subprocess
import sys
from pathlib import Path

WITHOUT_NETWORK = """
import socket, sys

def refuse(*given):
    raise AssertionError(f"asked the network: {given}")

socket.socket.connect = socket.getaddrinfo = refuse
from dbd_ray import Detector
Detector.load("lite", device="cpu", engine="openvino")
import multiprocessing
assert not multiprocessing.active_children()
assert "openvino_telemetry" not in sys.modules
import openvino_telemetry  # what was hidden is there again
"""


def test_the_engine_reports_its_use_to_nobody(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_NETWORK]
    done = subprocess.run(
        command, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {".cache"}
