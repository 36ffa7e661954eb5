"""A signal is a clean stop at every moment of an endpoint's life."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import httpx2
import psutil
import pytest

pytestmark = [pytest.mark.ray, pytest.mark.chaos]
PATIENCE_S = 120


def _ray_starts(port: int, children: list[psutil.Process]) -> bool:
    return any("gcs_server" in " ".join(child.cmdline()) for child in children)


def _it_answers(port: int, children: list[psutil.Process]) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.mark.parametrize("moment", [_ray_starts, _it_answers])
def test_a_signal_is_a_clean_stop(moment: Callable[[int, list[psutil.Process]], bool]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, "-c", "from dbd_ray.cli import main; main()", "serve", "--port", str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    )
    children: list[psutil.Process] = []
    while process.poll() is None:
        try:
            children = psutil.Process(process.pid).children(recursive=True)
            if moment(port, children):
                break
        except psutil.Error:  # it ended in between
            continue
    process.send_signal(signal.SIGTERM)
    if moment is _it_answers:
        process.send_signal(signal.SIGINT)  # an impatient second one
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert said.splitlines()[-1] == "stopped" and "***" not in said and "infinite retries" not in said
    _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
    assert alive == [], "nothing of it stays behind"
