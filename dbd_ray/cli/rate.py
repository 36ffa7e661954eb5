"""The rate that a progress bar shows."""

import time
from collections.abc import Callable


class Rate:
    """Counts per second from the first call on: what it took to begin says nothing of the rate.

    Args:
        clock: Gives the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[float, int] | None = None

    def __call__(self, count: int) -> float:
        """Give the rate up to now, 0 while nothing has come since the first call."""
        now = self._clock()
        self._first = self._first or (now, count)
        since, before = self._first
        return (count - before) / max(now - since, 1e-9)
