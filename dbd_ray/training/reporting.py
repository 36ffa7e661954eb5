"""Progress reports from a run's first worker to the process that started the run."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dbd_ray.training.progress import Progress

Event = Progress | str


class Reporter:
    """Reports one worker's progress: to the listener where there is one, else on its output, which Ray forwards.

    Args:
        rank: The worker's rank; only rank 0 reports.
        queue: Queue of `listening`; None: lines go to the output.
    """

    def __init__(self, rank: int, queue: Queue | None) -> None:
        self._speaks = rank == 0
        self._queue = queue
        self._every_s = 10.0 if queue is None else 0.5
        self._last = 0.0

    def note(self, text: str) -> None:
        """Report a line of text."""
        self._send(text)

    def progress(self, at: Progress) -> None:
        """Report the progress of the epoch, at most every half second (to a listener) or 10 s (on the output)."""
        now = time.monotonic()
        if now - self._last >= self._every_s:
            self._last = now
            self._send(at)

    def _send(self, event: Event) -> None:
        if not self._speaks:
            return
        if self._queue is not None:
            self._queue.put(event)
        else:
            # not print(): Ray Train also sends that through its logger, and every line would come twice
            sys.stdout.write(f"{event}\n")
            sys.stdout.flush()


@contextmanager
def listening(on_event: Callable[[Event], Any]) -> Iterator[Queue]:
    """Call `on_event`, in a thread, with everything that reporters put into the yielded queue."""
    # on this machine, which the run cannot outlive anyway; on a node that is lost it would take the run along
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})

    def listen() -> None:
        while (event := queue.get()) is not None:
            on_event(event)

    thread = threading.Thread(target=listen, name="dbd-ray-progress", daemon=True)
    thread.start()
    try:
        yield queue
    finally:
        queue.put(None)
        thread.join()
        queue.shutdown()
