"""How much a gateway does at the same time: pixels in memory, threads, and calls to detectors."""

import asyncio
import contextvars
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Result = TypeVar("Result")


class PixelBudget:
    """Bounds the decoded pixels in memory: photos come in while they fit together, in the order of their arrival.

    Args:
        pixels: The most that are in memory at once.
    """

    def __init__(self, pixels: int) -> None:
        self._free = pixels
        self._turn = asyncio.Lock()  # fair: small photos do not overtake a large one again and again
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def room_for(self, pixels: int) -> AsyncIterator[None]:
        """Wait until so many pixels fit, and hold their place; more than the whole budget would never fit."""
        async with self._turn:
            while self._free < pixels:
                self._freed.clear()
                await self._freed.wait()
            self._free -= pixels
        try:
            yield
        finally:
            self._free += pixels
            self._freed.set()


class Threads:
    """A thread pool for asyncio, with as many threads as there are processors.

    A thread cannot be stopped. A task that is cancelled (a client went away, an answer took too long) therefore ends
    only when its thread has ended: else what it holds, memory and a place among the threads, would be given to others.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0))))

    async def run(self, function: Callable[..., Result], *arguments: object, **options: object) -> Result:
        """Call a function in a thread, and wait for its end even when cancelled."""
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


@dataclass(frozen=True, eq=False)
class _Waiting(Generic[Item, Answer]):
    item: Item
    size: int
    answer: "asyncio.Future[Answer]"


class SharedCalls(Generic[Item, Answer]):
    """Batches items into calls that answer several of them each.

    Between replicas a call costs about as much as the network's work on one photo. While fewer than `at_once` calls are
    under way an item is sent as it comes. Later ones wait until they fill a call, until a call has ended, or for
    `longest_wait_s`: items wait only while calls are under way, and the more of them come the fewer calls each takes.
    A call whose items are all given up is cancelled.

    Args:
        call: Answers items, in their order.
        full: Largest sum of the sizes of a call's items; a single item may be larger.
        at_once: Calls under way beyond which items wait; full calls are sent nevertheless.
        longest_wait_s: Time after which an item is sent whatever is under way, s.
    """

    def __init__(
        self,
        call: Callable[[list[Item]], Awaitable[Sequence[Answer]]],
        *,
        full: int,
        at_once: int,
        longest_wait_s: float,
    ) -> None:
        self._call = call
        self._full = full
        self._at_once = at_once
        self._longest_wait_s = longest_wait_s
        self._waiting: list[_Waiting[Item, Answer]] = []
        self._under_way: dict[asyncio.Task[None], list[_Waiting[Item, Answer]]] = {}

    async def ask(self, item: Item, size: int) -> Answer:
        """Have an item answered.

        Args:
            item: The item to send with a call.
            size: Its size, in the unit of `full`.

        Raises:
            Exception: Whatever the call raises.
        """
        mine = _Waiting[Item, Answer](item, size, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        self._send()
        try:
            await asyncio.wait([mine.answer], timeout=self._longest_wait_s)
            if mine in self._waiting:
                self._send(partly_full=True)
            return await mine.answer
        finally:
            mine.answer.cancel()  # where it was given up; else it is done
            self._drop_given_up()

    def _send(self, *, partly_full: bool = False) -> None:
        while self._waiting:
            items, size = [self._waiting[0]], self._waiting[0].size
            for one in self._waiting[1:]:
                if size + one.size > self._full:
                    break
                items.append(one)
                size += one.size
            is_full = len(items) < len(self._waiting) or size + items[-1].size > self._full
            if len(self._under_way) >= self._at_once and not (partly_full or is_full):
                return
            del self._waiting[: len(items)]
            # in a context of its own: Serve cancels what a request has called when its client goes away, and this
            # call is others' as well
            task = asyncio.create_task(self._answer(items), context=contextvars.Context())
            self._under_way[task] = items
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        del self._under_way[task]
        self._send()

    def _drop_given_up(self) -> None:
        self._waiting = [one for one in self._waiting if not one.answer.done()]
        for task, items in self._under_way.items():
            if all(one.answer.done() for one in items):
                task.cancel()

    async def _answer(self, items: list[_Waiting[Item, Answer]]) -> None:
        error: Exception
        try:
            answers = await self._call([one.item for one in items])
            for one, answer in zip(items, answers, strict=True):
                if not one.answer.done():
                    one.answer.set_result(answer)
            return
        except asyncio.CancelledError:
            error = RuntimeError("the call was cancelled")  # those who ask were not
        except Exception as raised:  # noqa: BLE001 - belongs to those who ask
            error = raised
        for one in items:
            if not one.answer.done():
                one.answer.set_exception(error)
