"""The surroundings of a command: the Ray that it uses, free ports, and a submitted job's folder."""

import io
import json
import logging
import os
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dbd_ray.cli.signals import stop_by_signals, stopping
from dbd_ray.errors import ConfigError, DbdRayError

CONNECT_TIMEOUT_S = 10.0
DASHBOARD_VARIABLE = "RAY_API_SERVER_ADDRESS"
JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray tells the job's driver in it what it was submitted with


@contextmanager
def local_or_cluster(*, dashboard: bool = False) -> Iterator[None]:
    """Connect to Ray for the length of a command; a Ray that is already connected is left as it is.

    Inside `ray job submit` and where RAY_ADDRESS is set, that cluster is used; elsewhere Ray starts here.

    Args:
        dashboard: Start the dashboard of a Ray that starts here; a search needs it.

    Raises:
        ConfigError: Ray cannot keep its files where RAY_TMPDIR or TMPDIR says.
        DbdRayError: There is no Ray at RAY_ADDRESS.
    """
    import ray  # only now: `serve` states first what Ray reads from the environment when it is imported
    import ray.data

    if ray.is_initialized():
        yield
        return
    ray.data.DataContext.get_current().enable_progress_bars = False  # ours are of photos, Ray's of its tasks
    # there is no other way yet to say how often a task that killed its process is tried again
    warnings.filterwarnings("ignore", message=r"`ray_remote_args_fn`")
    for library in ("ray.data", "ray.train", "ray.tune"):
        # what fails is told by its reason, not by Ray's traceback
        logging.getLogger(library).setLevel(logging.CRITICAL)
    cluster = os.environ.get("RAY_ADDRESS")
    if not cluster:
        # it warns of machines that a cloud is about to take back: this one is not, and its start fills the console
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
        # else a proxy that a busy machine does not start within seconds is killed, and Serve with it
        os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")
    else:
        check_reachable(cluster)
    dashboard_arguments: AbstractContextManager[dict[str, Any]] = nullcontext({})
    if not cluster:
        dashboard_arguments = own_dashboard() if dashboard else no_dashboard()
    with dashboard_arguments as arguments:
        try:
            _connect(cluster, arguments)
            yield
        finally:
            with redirect_stdout(io.StringIO()):  # see `serving.local`: what Ray prints may come late
                ray.shutdown()


def present_token() -> None:
    """Show a cluster the token that lies here, as `ray start` asks for one where it finds one, and clients do not.

    Ray reads this when it is imported. A cluster that asks for none takes no notice.
    """
    token = Path(os.environ.get("HOME") or "/", ".ray", "auth_token")
    if os.environ.get("RAY_ADDRESS") and token.is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _connect(cluster: str | None, arguments: dict[str, Any], *, again: bool = True) -> None:
    import ray

    try:
        ray.init(
            address=None if cluster else "local",
            logging_level=logging.ERROR,
            # the workers' reports come through training.reporting; Ray's are for whoever looks into Ray
            log_to_driver=bool(os.environ.get("DBD_RAY_VERBOSE")),
            **arguments,
        )
    except SystemExit:  # ray.init has a handler of SIGTERM of its own, which stays behind
        raise stopping() from None
    except Exception as error:  # Ray raises plain Exceptions here, among others
        if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
            raise _no_start(error) from None
        reason = str(error).strip().partition("\n")[0]
        if not cluster and again:
            sys.stderr.write(f"Ray did not start ({reason}); trying once more\n")
            ray.shutdown()
            _connect(cluster, arguments, again=False)
            return
        where = f"RAY_ADDRESS={cluster}: this Ray" if cluster else "Ray"
        raise DbdRayError(
            f"{where} cannot be used ({reason}): is the machine very busy, or its memory or temporary folder full?"
        ) from error
    stop_by_signals()


@contextmanager
def own_dashboard() -> Iterator[dict[str, Any]]:
    """Give the arguments of ray.init for a dashboard that its workers find whatever other Ray is on this machine.

    Ray Train asks it which runs have died and frees what they held. It would look for it by what runs on the machine,
    and refuses to choose among several.
    """
    (port,) = free_ports(1)
    with _dashboard_address(f"http://127.0.0.1:{port}"):
        yield {"include_dashboard": True, "dashboard_port": port}


@contextmanager
def no_dashboard() -> Iterator[dict[str, Any]]:
    """Give the arguments of ray.init for a Ray without dashboard, which asks none of another Ray instead.

    Ray Train asks for its own controller, and would take the "unknown" of another Ray's dashboard for its death and end
    the run. It goes where the shell's RAY_API_SERVER_ADDRESS says or, since Ray without a dashboard still notes the
    usual port of one, to that port of this machine.
    """
    with _dashboard_address(None):
        yield {"include_dashboard": False, "dashboard_port": 0}


def free_ports(count: int) -> list[int]:
    """Find different ports that are free on all interfaces, until somebody takes them."""
    with ExitStack() as probes:
        found = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in found:
            probe.bind(("", 0))
        return [probe.getsockname()[1] for probe in found]


def check_reachable(address: str, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
    """Check that something listens where RAY_ADDRESS says.

    Ray itself goes on trying for many minutes, without a word on which setting sent it there.

    Raises:
        DbdRayError: Nothing does, or the address is none.
    """
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        if parts.hostname and parts.port:
            socket.create_connection((parts.hostname, parts.port), timeout=timeout_s).close()
    except (OSError, ValueError) as error:
        raise DbdRayError(
            f"RAY_ADDRESS={address}: no Ray answers there ({error}); correct it, or unset it to use this machine"
        ) from None


def require_lasting(**places: str | None) -> None:
    """Refuse results that would be lost with a submitted job's folder: Ray deletes that copy of the working folder.

    Args:
        places: Folder or URI of results by the name of its setting; None is passed over.

    Raises:
        ConfigError: One is a relative path, and this is a job submitted with a working folder.
    """
    job = json.loads(os.environ.get(JOB_CONFIG, "{}"))
    if "working_dir" not in job.get("runtime_env", {}):
        return
    for name, place in places.items():
        if place is not None and "://" not in place and not Path(place).is_absolute():
            raise ConfigError(
                f"{name}: {place} would lie in this job's own copy of the working folder, which Ray deletes; "
                "give a URI, or an absolute path that every node has"
            )


def folder_of_records(storage: str) -> str | None:
    """Give the folder that MLflow's database would be made in; None where a tracking server is named."""
    return None if os.environ.get("MLFLOW_TRACKING_URI") else storage


@contextmanager
def _dashboard_address(address: str | None) -> Iterator[None]:
    # in the environment, which Ray's processes inherit
    before = os.environ.pop(DASHBOARD_VARIABLE, None)
    if address:
        os.environ[DASHBOARD_VARIABLE] = address
    try:
        yield
    finally:
        os.environ.pop(DASHBOARD_VARIABLE, None)
        if before is not None:
            os.environ[DASHBOARD_VARIABLE] = before


def _no_start(error: OSError) -> ConfigError:
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), None)
    where = f"{variable}={os.environ[variable]}" if variable else f"the temporary folder {tempfile.gettempdir()}"
    if "AF_UNIX" in str(error):
        what = "the path is too long for Ray's sockets, which have 107 bytes"
    else:
        what = f"Ray cannot keep its files there ({error})"
    return ConfigError(f"{where}: {what}; set RAY_TMPDIR to another folder with a short path, for instance /tmp")
