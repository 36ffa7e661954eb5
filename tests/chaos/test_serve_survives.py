"""The endpoint goes on after its processes are killed, and while more is asked of it than it can do."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from dbd_ray.client import FocusClient

pytestmark = [pytest.mark.ray, pytest.mark.chaos]
JPEG = {"content-type": "image/jpeg"}
LOST = {0, 429, 500, 503}  # 0: the connection was lost


@pytest.fixture(scope="module")
def url(run_endpoint: Callable[..., str]) -> str:
    """An endpoint with its usual settings."""
    return run_endpoint()


@pytest.mark.parametrize(
    "victim",
    [
        "FocusDetector",
        pytest.param("FocusGateway", marks=pytest.mark.slow),
        pytest.param("ServeController", marks=pytest.mark.slow),
    ],
)
def test_a_killed_process_costs_its_own_requests_only_and_the_client_hides_that(
    url: str,
    plain_load: Callable[..., Any],
    patient_load: Callable[..., Any],
    serve_processes: Callable[[str], list[int]],
    victim: str,
) -> None:
    title = victim if victim == "ServeController" else f"{url.rsplit('/', 1)[1]}:{victim}"
    with plain_load(url, clients=2) as plain, patient_load(url, clients=2) as patient:
        plain.wait_until(lambda: plain.good() >= 4 and patient.good() >= 4, "the first answers")
        before = serve_processes(title)
        os.kill(before[-1], signal.SIGKILL)
        killed = time.monotonic()
        plain.wait_until(lambda: set(serve_processes(title)) - set(before), "another process in its place")
        back = time.monotonic()
        plain.wait_until(lambda: plain.good(back) >= 4 and patient.good(back) >= 4, "answers of the new one")
    assert {answer.status for answer in patient.answers} == {200}, "a client's photo was lost"
    failed = [answer for answer in plain.answers if answer.status != 200]
    assert {answer.status for answer in failed} <= LOST
    assert all(answer.begun <= killed for answer in failed), "what was sent after the kill waits for the new process"
    if victim == "ServeController":
        assert failed == [], "it is on no request's way"


def test_what_is_too_much_is_turned_away_and_nothing_else_happens(
    run_endpoint: Callable[..., str], photo: bytes
) -> None:
    url = run_endpoint(max_ongoing_requests=2, max_queued_requests=2)

    def ask(_: int) -> httpx2.Response:
        return httpx2.post(f"{url}/v1/focus", content=photo, headers=JPEG, timeout=60)

    with ThreadPoolExecutor(60) as clients:
        answers = list(clients.map(ask, range(60)))
    assert {answer.status_code for answer in answers} == {200, 429}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status_code == 429)
    assert FocusClient(url).focus(photo).width


def test_a_thousand_connections_that_never_finish_their_bodies_do_not_end_the_service(
    run_endpoint: Callable[..., str], photo: bytes
) -> None:
    url = run_endpoint({"limits": {"body_timeout_s": 3}})
    address = urlsplit(url)
    head = f"POST {address.path}/v1/focus HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: image/jpeg\r\n"
    head += f"Content-Length: {len(photo)}\r\n\r\n"
    slow = [socket.create_connection((address.hostname, address.port), timeout=60) for _ in range(1000)]
    try:
        for connection in slow:
            connection.sendall(head.encode() + photo[: len(photo) // 2])
        # no place is free until enough of them have ended, which takes as long as this machine needs for so many
        with FocusClient(url, attempts=20) as client:
            assert client.focus(photo).width
        statuses = [int(connection.recv(4096).split()[1]) for connection in slow]
        assert FocusClient(url).focus(photo).width
    finally:
        for connection in slow:
            connection.close()
    assert set(statuses) <= {408, 429}
    assert 408 in statuses


def test_replicas_come_with_the_load_and_go_after_it(
    run_endpoint: Callable[..., str], plain_load: Callable[..., Any], serve_processes: Callable[[str], list[int]]
) -> None:
    soon = {"upscale_delay_s": 0.5, "downscale_delay_s": 1, "look_back_period_s": 2, "metrics_interval_s": 0.5}
    scaling = {"min_replicas": 1, "max_replicas": 2, "target_ongoing_requests": 1, **soon}
    url = run_endpoint(autoscaling_config=scaling, ray_actor_options={"num_cpus": 0})  # the others have taken all
    title = f"{url.rsplit('/', 1)[1]}:FocusGateway"
    with plain_load(url, clients=6) as load:
        load.wait_until(lambda: len(serve_processes(title)) == 2, "a second gateway")
        both = time.monotonic()
        load.wait_until(lambda: load.good(both) >= 12, "answers of both")
    while len(serve_processes(title)) > 1:  # pytest's limit of time ends the wait
        threading.Event().wait(0.1)
    assert {answer.status for answer in load.answers} == {200}
