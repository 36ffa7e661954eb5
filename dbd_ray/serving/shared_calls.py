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

    While fewer than `at_once` calls are under way an item is sent as it comes. Those that come later wait for each
    other: until they fill a call, until a call has ended, or for `longest_wait_s`. So nothing waits for its own sake,
    and the more there is to do the fewer calls it takes. A call whose items are all given up is cancelled.

    Args:
        call: Answers items, in their order.
        full: Sizes of a call's items add up to this at most; a single item may be larger.
        at_once: Calls under way, besides full ones.
        longest_wait_s: After which an item is sent whatever is under way.
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
            mine.answer.cancel()  # where it was given up; else it is done
            self._drop_what_nobody_wants()

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

    def _drop_what_nobody_wants(self) -> None:
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
