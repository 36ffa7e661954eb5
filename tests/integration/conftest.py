"""Real services for the tests that need them: clusters, PostgreSQL, and MLflow's server on it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from dbd_ray.tracking.runs import tracking_uri

BIN = Path(sys.executable).parent
OURS = ("RAY_", "MLFLOW_", "PYTHONPATH")  # settings of whoever runs the tests, which a cluster must not inherit
PATIENCE = {"RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60"}  # of Serve with a proxy that starts on a busy machine
POSTGRES_USER = "postgres"  # Debian's package makes it
START_TIMEOUT_S = 300
STOP_TIMEOUT_S = 10  # Ray with Serve takes half a minute, and has nothing to lose


class Services:
    """Servers that tests start as processes of their own; what is still alive ends with the tests."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []

    def free_port(self) -> int:
        """A port that nobody listens at on this machine."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        return port

    def answers(self, url: str) -> bool:
        """Whether somebody answers there, be it only to ask for a token."""
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            return error.code == 401
        except OSError:
            return False

    def start(
        self, command: Sequence[str], ready: Callable[[], bool], *, log: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a server and wait until it is ready; where it ends instead, the test fails with its log."""
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, stdout=file, stderr=file, cwd=log.parent, env=env, start_new_session=True
            )
        self._running.append(process)
        while not ready():
            try:
                process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"{' '.join(command[:4])} ended:\n{log.read_text()}")
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End a server, with the processes that it started."""
        self._running.remove(process)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_TIMEOUT_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop_all(self) -> None:
        """End what is still alive."""
        for process in list(self._running):
            self.stop(process)


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """Starter of servers, which are stopped at the end of the session."""
    services = Services()
    yield services
    services.stop_all()


class Cluster(NamedTuple):
    """A running cluster of one node with two CPUs.

    Attributes:
        address: URL of its dashboard.
        environment: Variables with which a client may use it.
        ports: Ports by the names of `ray start`'s options.
        folder: Folder that holds everything it writes.
    """

    address: str
    environment: dict[str, str]
    ports: dict[str, int]
    folder: Path


@pytest.fixture(scope="session")
def start_cluster(services: Services) -> Callable[[Mapping[str, str]], AbstractContextManager[Cluster]]:
    """Starts clusters of `ray start --head`, with their dashboards, in an environment with some variables."""

    @contextmanager
    def start(variables: Mapping[str, str]) -> Iterator[Cluster]:
        folder = Path(tempfile.mkdtemp(prefix="dbd-ray-"))  # sockets lie below it, whose paths must be short
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        environment = {**inherited, **variables, "PATH": path, "OMP_NUM_THREADS": "1", **PATIENCE}
        ports = {
            name: services.free_port()
            for name in (
                *("port", "dashboard-port", "ray-client-server-port", "metrics-export-port"),
                *("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port"),
            )
        }
        address = f"http://127.0.0.1:{ports['dashboard-port']}"
        command = [str(BIN / "ray"), "start", "--head", "--block", "--num-cpus=2", "--disable-usage-stats"]
        process = services.start(
            [*command, f"--temp-dir={folder / 'ray'}", *(f"--{name}={port}" for name, port in ports.items())],
            lambda: services.answers(f"{address}/api/version"),
            log=folder / "log.txt",
            env=environment,
        )
        yield Cluster(address, environment, ports, folder)
        services.stop(process)
        shutil.rmtree(folder, ignore_errors=True)  # the last of Ray's processes may still write there

    return start


@pytest.fixture(scope="session")
def postgres(services: Services) -> Iterator[str]:
    """URI of a database in a PostgreSQL of its own, which an unprivileged user runs."""
    places = os.pathsep.join([*map(str, Path("/usr/lib/postgresql").glob("*/bin")), os.environ["PATH"]])
    found = shutil.which("initdb", path=places)
    if found is None:
        absent = "PostgreSQL is absent: apt-get install postgresql"
        if os.environ.get("CI"):
            pytest.fail(f"{absent}, but CI must have it")
        pytest.skip(absent)
    programs = Path(found).resolve().parent
    # not below pytest's folder, which its owner alone may enter
    folder = Path(tempfile.mkdtemp(prefix="dbd-ray-postgres-"))
    user = POSTGRES_USER if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    if user:
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        # DEVNULL: the server would inherit a pipe, and keep it open
        subprocess.run(
            [programs / program, "-D", folder / "data", *arguments],
            check=True,
            cwd=folder,
            user=user,
            stdout=subprocess.DEVNULL,
            timeout=START_TIMEOUT_S,
        )

    port = services.free_port()
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    run("initdb", "-U", "mlflow", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
    run("pg_ctl", "start", "-w", "-t", str(START_TIMEOUT_S), "-l", str(folder / "log.txt"), "-o", options)
    try:
        yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "stop", "-m", "immediate")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def mlflow_server(postgres: str, services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow server with PostgreSQL behind it."""
    folder = tmp_path_factory.mktemp("server")
    port = services.free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", postgres, "--artifacts-destination", str(folder / "files")]
    light = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # eight processes that no test asks for
    log = folder / "log.txt"
    process = services.start([*command, *stores], lambda: services.answers(f"{url}/health"), log=log, env=light)
    yield url
    services.stop(process)  # before its database


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The default store, in a folder with an awkward name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return tracking_uri(tmp_path_factory.mktemp("runs") / "Bob's 1st runs")


@pytest.fixture(params=["sqlite", "mlflow_server"])
def store(request: pytest.FixtureRequest) -> str:
    """Each store in turn: the file beside the checkpoints, and the server over HTTP."""
    uri: str = request.getfixturevalue(request.param)
    return uri
