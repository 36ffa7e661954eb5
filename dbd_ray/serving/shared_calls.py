"""Several photos in one call: between replicas a call costs about as much as the network's work on one photo."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, eq=False)
class _Waiting(Generic[Item, Answer]):
    item: Item
    size: int
    answer: "asyncio.Future[Answer]"


class SharedCalls(Generic[Item, Answer]):
    """Makes calls that answer several items each.

    An item that comes while no call is under way is sent at once. Those that come meanwhile wait for each other:
    until they fill a call, until the one under way has ended, or for `longest_wait_s`. So nothing waits for its own
    sake, and the more there is to do the fewer calls it takes.

    Args:
        call: Answers items, in their order.
        full: Sizes of a call's items add up to this at most; a single item may be larger.
        longest_wait_s: After which an item is sent though a call is under way, which another replica may take.
    """

    def __init__(
        self, call: Callable[[list[Item]], Awaitable[Sequence[Answer]]], *, full: int, longest_wait_s: float
    ) -> None:
        self._call = call
        self._full = full
        self._longest_wait_s = longest_wait_s
        self._waiting: list[_Waiting[Item, Answer]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, item: Item, size: int) -> Answer:
        """Have an item answered; raises what the call raises."""
        mine = _Waiting[Item, Answer](item, size, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        self._send()
        try:
            await asyncio.wait([mine.answer], timeout=self._longest_wait_s)
            if mine in self._waiting:
                self._send(partly_full=True)
            return await mine.answer
        finally:
            mine.answer.cancel()  # of who was cancelled: nothing is sent or answered for it any more
            if mine in self._waiting:
                self._waiting.remove(mine)

    def _send(self, *, partly_full: bool = False) -> None:
        while self._waiting:
            items, size = [self._waiting[0]], self._waiting[0].size
            for one in self._waiting[1:]:
                if size + one.size > self._full:
                    break
                items.append(one)
                size += one.size
            is_full = len(items) < len(self._waiting) or size + items[-1].size > self._full
            if self._under_way and not (partly_full or is_full):
                return
            del self._waiting[: len(items)]
            # in a context of its own: Serve cancels what a request has called when its client goes away, and this
            # call is others' as well
            task = asyncio.create_task(self._answer(items), context=contextvars.Context())
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        self._send()

    async def _answer(self, items: list[_Waiting[Item, Answer]]) -> None:
        try:
            answers = await self._call([one.item for one in items])
            for one, answer in zip(items, answers, strict=True):
                if not one.answer.done():
                    one.answer.set_result(answer)
        except BaseException as error:
            for one in items:
                if not one.answer.done():
                    one.answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
