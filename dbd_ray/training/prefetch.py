"""Prefetching: work done in threads before its result is asked for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def prefetch(make: Callable[[Item], Made], items: Iterable[Item], threads: int) -> Iterator[Made]:
    """Make something of every item, in order.

    Args:
        make: Called in the threads.
        items: Iterated over in the calling thread.
        threads: How many threads make results in advance; 0: the calling thread makes each when it is asked for.
    """
    # threads and not processes: OpenCV and Pillow decode without the GIL, and rows need not be copied to anywhere
    if threads == 0:
        yield from map(make, items)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="dbd-ray-decode")
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def prefetch_next(items: Iterator[Item]) -> Iterator[Item]:
    """Fetch every item in a thread while the caller works on the one before it."""
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="dbd-ray-window") as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item  # type: ignore[misc]
