"""An endpoint on a Ray of two CPUs, and clients that go on asking it while something is done to it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import httpx2
import psutil
import pytest
from ray import serve
from ray.serve import Deployment
from ray.serve.config import HTTPOptions
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationStatus, LoggingConfig, ServeDeploySchema

from dbd_ray.client import FocusClient, FocusRequestError
from dbd_ray.config import ServeConfig
from dbd_ray.serving.focus_detector import FocusDetector
from dbd_ray.serving.gateway import FocusGateway

JPEG = {"content-type": "image/jpeg"}
LONGEST_WAIT_S = 300
NOBODY = 0  # the status where a connection was lost


class Answer(NamedTuple):
    """What became of one photo."""

    begun: float
    status: int
    retry_after: str | None = None
    model: str | None = None


Ask = Callable[[], Answer]


class Load:
    """Clients that ask again as soon as they are answered, each in a thread of its own.

    Args:
        make_ask: Makes what one client does.
        clients: How many of them.
    """

    def __init__(self, make_ask: Callable[[], Ask], *, clients: int) -> None:
        self.answers: list[Answer] = []
        self._answered = threading.Condition()
        self._enough = threading.Event()
        self._broken: list[BaseException] = []
        self._threads = [threading.Thread(target=self._go_on, args=(make_ask(),)) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def good(self, since: float = 0.0) -> int:
        """How many photos were answered that were sent after a moment."""
        return sum(answer.status == 200 and answer.begun >= since for answer in self.answers)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Look at the condition with every answer, and now and then between them."""
        deadline = time.monotonic() + LONGEST_WAIT_S
        while time.monotonic() < deadline:
            assert not self._broken, self._broken
            if condition():
                return
            with self._answered:
                self._answered.wait(0.2)
        pytest.fail(f"waited in vain for {what}; last: {self.answers[-3:]}")

    def _go_on(self, ask: Ask) -> None:
        try:
            while not self._enough.is_set():
                answer = ask()
                with self._answered:
                    self.answers.append(answer)
                    self._answered.notify_all()
        except Exception as error:  # noqa: BLE001 - a thread's error must reach the test
            self._broken.append(error)


def _plain(url: str, photo: bytes) -> Ask:
    http = httpx2.Client(timeout=120)

    def ask() -> Answer:
        begun = time.monotonic()
        try:
            answer = http.post(f"{url}/v1/focus", content=photo, headers=JPEG)
        except httpx2.RequestError:
            return Answer(begun, NOBODY)
        model = answer.json()["summary"]["model_fingerprint"] if answer.status_code == 200 else None
        return Answer(begun, answer.status_code, answer.headers.get("retry-after"), model)

    return ask


def _patient(url: str, photo: bytes) -> Ask:
    client = FocusClient(url)

    def ask() -> Answer:
        begun = time.monotonic()
        try:
            return Answer(begun, 200, model=client.focus(photo).summary.model_fingerprint)
        except FocusRequestError as error:
            return Answer(begun, error.status or NOBODY)

    return ask


@pytest.fixture(scope="session")
def serve_processes() -> Callable[[str], list[int]]:
    """Process ids of Serve's actors of a name, below this process, whose Ray they belong to; the youngest last."""

    def find(name: str) -> list[int]:
        found = []
        for process in psutil.Process().children(recursive=True):
            try:
                title, started = " ".join(process.cmdline()), process.create_time()
            except psutil.Error:
                continue
            if title.startswith("ray::") and name in title:
                found.append((started, process.pid))
        return [pid for _, pid in sorted(found)]

    return find


@pytest.fixture(scope="session")
def plain_load(photo: bytes) -> Callable[..., Load]:
    """Clients that take the first answer, whatever it is."""
    return lambda url, *, clients: Load(lambda: _plain(url, photo), clients=clients)


@pytest.fixture(scope="session")
def patient_load(photo: bytes) -> Callable[..., Load]:
    """The package's clients, with their own defaults."""
    return lambda url, *, clients: Load(lambda: _patient(url, photo), clients=clients)


# so little that an application need not wait until the processes of the one before are gone
SMALL: dict[str, Any] = {
    "autoscaling_config": {"min_replicas": 1, "max_replicas": 1},
    "ray_actor_options": {"num_cpus": 0.25},
    "graceful_shutdown_wait_loop_s": 0.1,
    "graceful_shutdown_timeout_s": 10,
}
QUIET = LoggingConfig(log_level="ERROR", enable_access_log=False)


@pytest.fixture(scope="module")
def serving(local_ray: None) -> Iterator[str]:
    """URL of a Serve without an application."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve.start(proxy_location="HeadOnly", http_options=HTTPOptions(host="127.0.0.1", port=port), logging_config=QUIET)
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()


@pytest.fixture(scope="module")
def run_endpoint(serving: str, tiny_model: Path) -> Iterator[Callable[..., str]]:
    """Run an endpoint, or replace one, with some settings and options of its gateway; its URL ends in its name."""
    names: list[str] = []

    def run(settings: dict[str, Any] | None = None, *, name: str | None = None, **options: Any) -> str:
        config = ServeConfig.model_validate({"model": str(tiny_model), "engine": "eager", **(settings or {})})
        detector = cast(Deployment, FocusDetector).options(**SMALL).bind(config.model, engine=config.engine)
        gateway = cast(Deployment, FocusGateway).options(**(SMALL | options)).bind(config, detector)
        name = name or f"endpoint{len(names)}"
        names.append(name)
        serve.run(gateway, name=name, route_prefix=f"/{name}", logging_config=QUIET)
        return f"{serving}/{name}"

    yield run
    for name in set(names):
        serve.delete(name)


@pytest.fixture(scope="module")
def deploy_file(serving: str) -> Callable[[dict[str, Any]], str]:
    """Deploy an application as it would be in a Serve config file, at first or again; gives its URL when it runs."""

    def deploy(application: dict[str, Any]) -> str:
        whole = {"applications": [{**application, "logging_config": QUIET.model_dump()}]}
        # as `serve run FILE` does; `serve deploy` goes by way of the dashboard
        client = _get_global_client()
        assert client is not None
        client.deploy_apps(ServeDeploySchema.model_validate(whole))
        name = application["name"]
        while (status := serve.status().applications[name]).status != ApplicationStatus.RUNNING:
            if status.status in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
                pytest.fail(f"{name} is {status}")
            threading.Event().wait(0.1)
        return serving + application["route_prefix"]

    return deploy


@pytest.fixture(scope="session")
def photo(cuhk: Path) -> bytes:
    """A real photo as it lies on the disk."""
    return min((cuhk / "image").glob("*.jpg")).read_bytes()
