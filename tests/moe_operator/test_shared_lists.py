"""Lists that passes share: how often they are read, and when they are too old."""

from __future__ import annotations

import asyncio

import pytest

from moe_operator.shared_lists import SharedLists


class Cluster:
    """Counts what is read of it; a read ends when it is let."""

    def __init__(self) -> None:
        self.now = 100.0
        self.num_reads = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.lists = SharedLists(lambda: self.now, {"slices": 5.0})

    async def read(self) -> list[int]:
        self.num_reads += 1
        found = [self.num_reads]
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return found

    async def get(self, resource: str = "slices") -> list[int]:
        return await self.lists.get(resource, self.read)


async def test_passes_of_one_moment_share_a_read() -> None:
    cluster = Cluster()
    assert await asyncio.gather(*(cluster.get() for _ in range(16))) == [[1]] * 16
    cluster.now += 4.9
    assert await cluster.get() == [1]
    cluster.now += 0.1
    assert await cluster.get() == [2]


async def test_what_is_not_kept_is_read_each_time() -> None:
    cluster = Cluster()
    assert [await cluster.get("pods"), await cluster.get("pods")] == [[1], [2]]


async def test_a_failure_is_everybodys_who_waited_and_is_not_kept() -> None:
    cluster = Cluster()
    cluster.error = OSError("away")
    found = await asyncio.gather(cluster.get(), cluster.get(), return_exceptions=True)
    assert [type(one) for one in found] == [OSError, OSError]
    cluster.error = None
    assert await cluster.get() == [2]


async def test_who_gives_up_waiting_takes_nothing_from_the_others() -> None:
    cluster = Cluster()
    cluster.gate.clear()
    one, other = asyncio.create_task(cluster.get()), asyncio.create_task(cluster.get())
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    cluster.gate.set()
    assert await other == [1]
