"""Ray for one command: the cluster that RAY_ADDRESS names, or this machine's own."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray
import ray.data


@contextmanager
def local_or_cluster() -> Iterator[None]:
    """Connect to Ray for the length of a command; a Ray that is already connected is left as it is.

    Inside `ray job submit` and where RAY_ADDRESS is set, that cluster is used; elsewhere Ray starts here.
    """
    if ray.is_initialized():
        yield
        return
    context = ray.data.DataContext.get_current()
    # Ray Data's own bars and notes would bury ours
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    on_cluster = "RAY_ADDRESS" in os.environ
    ray.init(
        address=None if on_cluster else "local",
        include_dashboard=None if on_cluster else False,
        logging_level=logging.WARNING,
        log_to_driver=True,
    )
    try:
        yield
    finally:
        ray.shutdown()
