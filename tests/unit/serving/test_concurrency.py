"""Promises of what is done at the same time: pixels in memory, threads, several photos in one call."""

import asyncio
import contextvars
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from dbd_ray.serving.concurrency import PixelBudget, SharedCalls, Threads

FOREVER_S = 60.0


class Calls:
    """Answers items by their doubles, each call when it is told to."""

    def __init__(self, *, full: int = 4, at_once: int = 1, longest_wait_s: float = FOREVER_S) -> None:
        self.made: list[list[int]] = []
        self.may_end: list[asyncio.Event] = []
        self.cancelled: list[list[int]] = []
        self.shared: SharedCalls[int, int] = SharedCalls(
            self._call, full=full, at_once=at_once, longest_wait_s=longest_wait_s
        )

    async def _call(self, items: list[int]) -> Sequence[int]:
        self.made.append(items)
        may_end = asyncio.Event()
        self.may_end.append(may_end)
        try:
            await may_end.wait()
        except asyncio.CancelledError:
            self.cancelled.append(items)
            raise
        if 13 in items:
            raise ZeroDivisionError
        return [2 * item for item in items]

    async def ask(self, *items: int, size: int = 1) -> "list[asyncio.Task[int]]":
        """Let everybody ask, and come as far as they do."""
        tasks = [asyncio.create_task(self.shared.ask(item, size)) for item in items]
        await settled()
        return tasks

    async def end(self, number: int) -> None:
        self.may_end[number].set()
        await settled()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, timeout=30))


def test_photos_wait_until_they_fit_together_and_none_overtakes() -> None:
    async def run() -> list[str]:
        budget = PixelBudget(10)
        order: list[str] = []
        held, let_go = asyncio.Event(), asyncio.Event()

        async def first() -> None:
            async with budget.room_for(8):
                held.set()
                await let_go.wait()

        async def later(name: str, pixels: int) -> None:
            async with budget.room_for(pixels):
                order.append(name)

        tasks = [asyncio.create_task(first())]
        await held.wait()
        tasks += [asyncio.create_task(later("large", 9)), asyncio.create_task(later("small", 1))]
        for _ in range(10):  # turns of the event loop, in which both have come to wait
            await asyncio.sleep(0)
        assert order == []  # the small one would fit, but came later
        let_go.set()
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(run()) == ["large", "small"]


def test_room_is_given_back_after_a_failure() -> None:
    async def run() -> None:
        budget = PixelBudget(5)
        with pytest.raises(ZeroDivisionError):
            async with budget.room_for(5):
                raise ZeroDivisionError
        async with asyncio.timeout(5), budget.room_for(5):
            pass

    asyncio.run(run())


def test_who_is_cancelled_leaves_when_its_thread_has_ended() -> None:
    async def run() -> list[str]:
        begun, let_go = threading.Event(), threading.Event()
        order: list[str] = []
        threads = Threads()

        def hold() -> None:
            begun.set()
            assert let_go.wait(60)
            order.append("thread")

        async def work() -> None:
            try:
                await threads.run(hold)
            except asyncio.CancelledError:
                order.append("cancelled")

        task = asyncio.create_task(work())
        await asyncio.to_thread(begun.wait)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        let_go.set()
        await task
        assert await threads.run(int, "7") == 7
        return order

    assert asyncio.run(run()) == ["thread", "cancelled"]


def test_a_lone_item_does_not_wait_and_later_ones_share_the_next_call() -> None:
    async def story() -> None:
        calls = Calls()
        first = await calls.ask(1)
        assert calls.made == [[1]]
        later = await calls.ask(2, 3)
        assert calls.made == [[1]]
        await calls.end(0)
        assert calls.made == [[1], [2, 3]]
        await calls.end(1)
        assert [await one for one in first + later] == [2, 4, 6]

    run(story())


def test_so_many_calls_are_under_way_at_once_before_anybody_waits() -> None:
    async def story() -> None:
        calls = Calls(at_once=3)
        tasks = await calls.ask(1, 2, 3, 4, 5)
        assert calls.made == [[1], [2], [3]]  # as many replicas as that are busy
        await calls.end(1)
        assert calls.made[3:] == [[4, 5]]
        for number in (0, 2, 3):
            await calls.end(number)
        assert [await task for task in tasks] == [2, 4, 6, 8, 10]

    run(story())


def test_full_calls_go_at_once_for_other_replicas_may_be_idle() -> None:
    async def story() -> None:
        calls = Calls(full=4)
        tasks = await calls.ask(*range(10))
        assert calls.made == [[0], [1, 2, 3, 4], [5, 6, 7, 8]]
        for number in range(3):
            await calls.end(number)
        await calls.end(3)
        assert calls.made[3] == [9]
        assert [await task for task in tasks] == [2 * item for item in range(10)]

    run(story())


def test_no_call_is_larger_than_full_but_for_a_single_item() -> None:
    async def story() -> None:
        calls = Calls(full=4)
        await calls.ask(0)
        tasks = [*await calls.ask(1, size=3), *await calls.ask(2, size=9), *await calls.ask(3, size=2)]
        assert calls.made == [[0], [1], [2]]
        await calls.end(2)
        assert not tasks[2].done()  # one that would fit waits for the calls under way
        for number in (0, 1):
            await calls.end(number)
        assert calls.made[3] == [3]
        await calls.end(3)
        assert [await task for task in tasks] == [2, 4, 6]

    run(story())


def test_nobody_waits_for_ever_for_a_call_that_takes_long() -> None:
    async def story() -> None:
        calls = Calls(longest_wait_s=0.01)
        await calls.ask(1)
        (late,) = await calls.ask(2)
        while len(calls.made) < 2:
            await asyncio.sleep(0.001)
        await calls.end(1)
        assert await late == 4

    run(story())


def test_an_error_reaches_all_of_its_call_and_nobody_else() -> None:
    async def story() -> None:
        calls = Calls(full=2)
        first, *others = await calls.ask(1, 12, 13, 4, 5)
        assert calls.made == [[1], [12, 13], [4, 5]]
        for number in range(3):
            await calls.end(number)
        assert await first == 2
        failed = await asyncio.gather(*others, return_exceptions=True)
        assert [type(one) for one in failed[:2]] == [ZeroDivisionError] * 2
        assert failed[2:] == [8, 10]

    run(story())


def test_a_replica_that_answers_too_few_items_is_an_error() -> None:
    async def story() -> None:
        async def none(items: list[int]) -> list[int]:
            return []

        with pytest.raises(ValueError, match="zip"):
            await SharedCalls[int, int](none, full=1, at_once=1, longest_wait_s=1).ask(1, 1)

    run(story())


def test_who_goes_away_harms_nobody_and_work_for_nobody_ends() -> None:
    async def story() -> None:
        calls = Calls(at_once=1)
        (first,) = await calls.ask(1)
        second, third, fourth = await calls.ask(2, 3, 4)
        second.cancel()  # waits, and is not sent
        await settled()
        first.cancel()  # was alone in its call
        await settled()
        assert calls.cancelled == [[1]]
        assert calls.made == [[1], [3, 4]]
        fourth.cancel()  # its call goes on for the third
        await settled()
        await calls.end(1)
        assert await third == 6
        assert calls.cancelled == [[1]]
        for one in (first, second, fourth):
            with pytest.raises(asyncio.CancelledError):
                await one

    run(story())


def test_a_call_belongs_to_no_request() -> None:
    mine = contextvars.ContextVar("mine", default="nobody's")
    seen: list[str] = []

    async def call(items: list[int]) -> list[int]:
        seen.append(mine.get())
        return items

    async def story() -> None:
        mine.set("the first client's")
        await SharedCalls[int, int](call, full=1, at_once=1, longest_wait_s=1).ask(1, 1)
        assert seen == ["nobody's"]  # Serve finds by the context what it cancels when a client goes away

    run(story())


def test_a_call_that_is_cancelled_elsewhere_is_an_error_of_those_who_ask() -> None:
    async def call(items: list[int]) -> list[int]:
        raise asyncio.CancelledError

    async def story() -> None:
        with pytest.raises(RuntimeError, match="cancelled"):
            await SharedCalls[int, int](call, full=1, at_once=1, longest_wait_s=1).ask(1, 1)

    run(story())
