"""Work that is done before it is asked for, in threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def ahead(make: Callable[[Item], Made], items: Iterable[Item], threads: int) -> Iterator[Made]:
    """Make something of every item, in order.

    Args:
        make: Runs in the threads.
        items: Are taken in this thread.
        threads: How many make ahead; 0: this one makes when asked.
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


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Take every item in a thread while the one before is worked on."""
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="dbd-ray-window") as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item  # type: ignore[misc]
