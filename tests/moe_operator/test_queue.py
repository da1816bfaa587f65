"""The queue, with time moved by hand: dedup, one worker per key, backoff, rest and tick."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from moe_operator.queue import Backoff, DirtyQueue, Key
from tests.moe_operator.world import ManualClock, StoppedClock

ONE, TWO = (Key(kind="MoEStage", namespace="default", name=name) for name in ("one", "two"))


class Work:
    """Counts the passes over each key; fails or blocks when told."""

    def __init__(self) -> None:
        self.passes: list[Key] = []
        self.failures = 0
        self.gates: dict[Key, asyncio.Event] = {}
        self.again_in: list[float] = []

    async def reconcile(self, key: Key) -> float | None:
        self.passes.append(key)
        if key in self.gates:
            await self.gates[key].wait()
        if self.failures:
            self.failures -= 1
            raise RuntimeError("not yet")
        return self.again_in.pop(0) if self.again_in else None


class LettingClock(ManualClock):
    """Lets all others go on before it comes back."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def queue(work: Work, clock: ManualClock) -> AsyncIterator[DirtyQueue]:
    queue = DirtyQueue(work.reconcile, clock=clock, backoff=Backoff(first_seconds=1.0, most_seconds=5.0))
    yield queue
    await queue.stop()


async def test_many_marks_are_one_pass(queue: DirtyQueue, work: Work) -> None:
    for _ in range(100):
        queue.mark(ONE)
    await queue.idle()

    assert work.passes == [ONE]


async def test_a_mark_during_a_pass_is_one_more_pass(queue: DirtyQueue, work: Work) -> None:
    work.gates[ONE] = asyncio.Event()
    queue.mark(ONE)
    await asyncio.sleep(0)
    for _ in range(10):
        queue.mark(ONE)

    work.gates[ONE].set()
    await queue.idle()

    assert work.passes == [ONE, ONE]


async def test_one_key_does_not_wait_for_another(queue: DirtyQueue, work: Work) -> None:
    work.gates[ONE] = asyncio.Event()
    queue.mark(ONE)
    queue.mark(TWO)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert work.passes == [ONE, TWO]
    work.gates[ONE].set()


async def test_a_failure_is_tried_again_with_growing_waits(queue: DirtyQueue, work: Work, clock: ManualClock) -> None:
    work.failures = 5
    queue.mark(ONE)
    await queue.idle()

    assert len(work.passes) == 6
    assert clock.seconds == 1 + 2 + 4 + 5 + 5


async def test_a_key_rests_after_a_pass_if_told_to(work: Work, clock: ManualClock) -> None:
    queue = DirtyQueue(work.reconcile, clock=clock, backoff=Backoff(), rest_seconds=lambda key: 0.5)
    queue.mark(ONE)
    await queue.idle()

    assert (work.passes, clock.seconds) == ([ONE], 0.5)


async def test_a_key_that_is_held_lets_others_pass_first(work: Work) -> None:
    clock = LettingClock()
    held = {ONE: 3.0}
    queue = DirtyQueue(work.reconcile, clock=clock, backoff=Backoff(), hold_seconds=lambda key: held.get(key, 0.0))
    queue.mark(ONE)
    queue.mark(ONE)
    queue.mark(TWO)
    await queue.idle()

    assert (work.passes, clock.seconds) == ([TWO, ONE], 3.0)


async def test_a_pass_is_repeated_when_it_says_so(queue: DirtyQueue, work: Work, clock: ManualClock) -> None:
    work.again_in = [7.5, 2.5]
    queue.mark(ONE)
    for _ in range(20):
        await asyncio.sleep(0)

    assert (work.passes, clock.seconds) == ([ONE, ONE, ONE], 10.0)


async def test_the_tick_marks_every_key_and_survives_an_outage(
    queue: DirtyQueue, work: Work, clock: ManualClock
) -> None:
    outages = 1

    async def all_keys() -> Iterable[Key]:
        nonlocal outages
        if outages:
            outages -= 1
            raise OSError("no API server")
        return [ONE, TWO]

    ticking = asyncio.create_task(queue.tick(5.0, all_keys, wake=asyncio.Event()))
    for _ in range(100):
        await asyncio.sleep(0)
    ticking.cancel()

    assert set(work.passes) == {ONE, TWO}
    assert clock.seconds >= 5.0
    assert queue.seconds_since_tick() <= 5.0


async def test_the_tick_marks_all_at_once_at_first_and_when_woken_and_spreads_them_otherwise(work: Work) -> None:
    clock, wake = StoppedClock(), asyncio.Event()
    queue = DirtyQueue(work.reconcile, clock=clock, backoff=Backoff())

    async def all_keys() -> Iterable[Key]:
        return [ONE, TWO]

    async def passes() -> list[Key]:
        for _ in range(50):
            await asyncio.sleep(0)
        found, work.passes = work.passes, []
        return found

    ticking = asyncio.create_task(queue.tick(5.0, all_keys, wake=wake))
    assert await passes() == [ONE, TWO]
    clock.advance(5.0)
    assert await passes() == [ONE]
    clock.advance(2.4)
    assert await passes() == []
    clock.advance(0.1)
    assert await passes() == [TWO]
    clock.advance(2.5)
    assert await passes() == [ONE]
    wake.set()
    assert await passes() == [TWO, ONE], "two is looked at once, as it was after the waking"
    clock.advance(5.0)
    assert await passes() == [ONE]
    ticking.cancel()
    await queue.stop()
