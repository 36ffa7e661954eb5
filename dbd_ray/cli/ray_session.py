"""Ray for one command: the cluster that RAY_ADDRESS names, or this machine's own."""

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import ray
import ray.data

from dbd_ray.errors import DbdRayError

CONNECT_TIMEOUT_S = 10.0


@contextmanager
def local_or_cluster(*, data_bars: bool = False) -> Iterator[None]:
    """Connect to Ray for the length of a command; a Ray that is already connected is left as it is.

    Inside `ray job submit` and where RAY_ADDRESS is set, that cluster is used; elsewhere Ray starts here.

    Args:
        data_bars: Show Ray Data's progress bars on a terminal (in a log they would be hundreds of lines).

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
    cluster = os.environ.get("RAY_ADDRESS")
    if not cluster:
        # it warns of machines that a cloud is about to take back: this one is not, and its start fills the console
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    else:
        _check_reachable(cluster)
    ray.init(
        address=None if cluster else "local",
        include_dashboard=None if cluster else False,
        # without a dashboard Ray still notes the usual port of one, and Ray Train, asking there for its own controller,
        # would take the "unknown" of another Ray's dashboard on this machine for its death, and end the run
        dashboard_port=None if cluster else 0,
        logging_level=logging.ERROR,
        # the workers' own words come through training.progress; Ray's are for whoever looks into Ray
        log_to_driver=bool(os.environ.get("DBD_RAY_VERBOSE")),
    )
    try:
        yield
    finally:
        ray.shutdown()


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
