"""Ray for one command: the cluster that RAY_ADDRESS names, or this machine's own."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import ray
import ray.data


@contextmanager
def local_or_cluster(*, data_bars: bool = False) -> Iterator[None]:
    """Connect to Ray for the length of a command; a Ray that is already connected is left as it is.

    Inside `ray job submit` and where RAY_ADDRESS is set, that cluster is used; elsewhere Ray starts here.

    Args:
        data_bars: Show Ray Data's progress bars on a terminal (in a log they would be hundreds of lines).
    """
    if ray.is_initialized():
        yield
        return
    ray.data.DataContext.get_current().enable_progress_bars = data_bars and sys.stderr.isatty()
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    on_cluster = "RAY_ADDRESS" in os.environ
    ray.init(
        address=None if on_cluster else "local",
        include_dashboard=None if on_cluster else False,
        logging_level=logging.ERROR,
        log_to_driver=True,
    )
    try:
        yield
    finally:
        ray.shutdown()
