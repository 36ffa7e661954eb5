"""Work away from the event loop that is waited for even by those who were told to stop."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

Result = TypeVar("Result")


class Threads:
    """As many threads at once as there are processors.

    A thread cannot be stopped. Who is cancelled (a client went away, an answer took too long) therefore leaves only
    when its thread has ended: else what it holds, memory and a place among the threads, would be given to others.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0))))

    async def run(self, function: Callable[..., Result], *arguments: object, **options: object) -> Result:
        """Call a function in a thread."""
        call = partial(function, *arguments, **options)
        work = asyncio.get_running_loop().run_in_executor(self._pool, call)
        cancelled = False
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            work.exception()  # looked at, or asyncio would complain that nobody did
            raise asyncio.CancelledError
        return work.result()
