"""Ray for one command: the cluster that RAY_ADDRESS names, or this machine's own."""

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from urllib.parse import urlsplit

import ray
import ray.data

from dbd_ray.cli.ports import free_ports
from dbd_ray.errors import DbdRayError

CONNECT_TIMEOUT_S = 10.0
DASHBOARD_VARIABLE = "RAY_API_SERVER_ADDRESS"


@contextmanager
def local_or_cluster(*, data_bars: bool = False, dashboard: bool = False) -> Iterator[None]:
    """Connect to Ray for the length of a command; a Ray that is already connected is left as it is.

    Inside `ray job submit` and where RAY_ADDRESS is set, that cluster is used; elsewhere Ray starts here.

    Args:
        data_bars: Show Ray Data's progress bars on a terminal (in a log they would be hundreds of lines).
        dashboard: Start the dashboard of a Ray that starts here; a search needs it.

    Raises:
        DbdRayError: There is no Ray at RAY_ADDRESS.
    """
    if ray.is_initialized():
        yield
        return
    data = ray.data.DataContext.get_current()
    data.enable_progress_bars = data_bars and sys.stderr.isatty()
    # one bar for each dataset; Ray's older bars come through the workers' logs, which are switched off below
    data.enable_rich_progress_bars, data.use_ray_tqdm, data.enable_operator_progress_bars = True, False, False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a failed trial is told by its reason, not by a traceback
    cluster = os.environ.get("RAY_ADDRESS")
    if not cluster:
        # it warns of machines that a cloud is about to take back: this one is not, and its start fills the console
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
        # else a proxy that a busy machine does not start within seconds is killed, and Serve with it
        os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")
    else:
        _check_reachable(cluster)
    of_dashboard: AbstractContextManager[dict[str, Any]] = nullcontext({})
    if not cluster:
        of_dashboard = own_dashboard() if dashboard else no_dashboard()
    with of_dashboard as arguments:
        ray.init(
            address=None if cluster else "local",
            logging_level=logging.ERROR,
            # the workers' own words come through training.progress; Ray's are for whoever looks into Ray
            log_to_driver=bool(os.environ.get("DBD_RAY_VERBOSE")),
            **arguments,
        )
        try:
            yield
        finally:
            ray.shutdown()


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


def _check_reachable(address: str) -> None:
    # Ray itself goes on trying for many minutes, without a word on which setting sent it there
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        if parts.hostname and parts.port:
            socket.create_connection((parts.hostname, parts.port), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        raise DbdRayError(
            f"RAY_ADDRESS={address}: no Ray answers there ({error}); correct it, or unset it to use this machine"
        ) from None
