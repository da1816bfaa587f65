"""A list that events keep up to date: what it gives, and when it is read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from moe_operator import errors
from moe_operator.followed_list import TOO_OLD_SECONDS, FollowedList

Json = dict[str, Any]


def pod(uid: str, word: str = "") -> Json:
    return {"metadata": {"uid": uid}, "word": word}


class Cluster:
    """What there is, how often it was read, and the list of it; a read ends when it is let."""

    def __init__(self, *pods: Json) -> None:
        self.pods = list(pods)
        self.num_reads = 0
        self.now = 100.0
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.list = FollowedList(lambda: self.now, {})

    async def read(self) -> list[Json]:
        self.num_reads += 1
        found = list(self.pods)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return found

    async def get(self) -> list[Json]:
        return await self.list.get(self.read)


async def test_it_is_read_once_and_follows_what_is_heard() -> None:
    cluster = Cluster(pod("a"), pod("b"))
    assert await cluster.get() == [pod("a"), pod("b")]

    cluster.list.hear("MODIFIED", pod("a", "bad"))
    cluster.list.hear("DELETED", pod("b"))
    cluster.list.hear("ADDED", pod("c"))
    assert (await cluster.get(), cluster.num_reads) == ([pod("a", "bad"), pod("c")], 1)


async def test_what_is_heard_before_the_first_read_is_not_all_there_is() -> None:
    cluster = Cluster(pod("a"), pod("b"))
    cluster.list.hear(None, pod("a"))
    assert await cluster.get() == [pod("a"), pod("b")]


async def test_what_is_heard_during_a_read_is_not_lost_by_it() -> None:
    cluster = Cluster(pod("a"), pod("b"))
    cluster.gate.clear()
    reading = asyncio.create_task(cluster.get())
    await asyncio.sleep(0)
    cluster.list.hear("MODIFIED", pod("a", "bad"))
    cluster.list.hear("DELETED", pod("b"))
    cluster.gate.set()
    assert await reading == [pod("a", "bad")]

    cluster.pods = [pod("a", "well")]
    await cluster.list.renew(cluster.read)
    assert await cluster.get() == [pod("a", "well")], "what was heard during one read is nothing to the next"


async def test_one_that_was_not_renewed_for_too_long_is_read() -> None:
    cluster = Cluster(pod("a"))
    await cluster.get()
    cluster.pods = []
    cluster.now += TOO_OLD_SECONDS - 0.1
    assert await cluster.get() == [pod("a")]
    cluster.now += 0.1
    assert await cluster.get() == []


async def test_a_failure_is_told_and_what_was_known_stays() -> None:
    cluster = Cluster(pod("a"))
    cluster.error = errors.Unavailable("away")
    with pytest.raises(errors.Unavailable):
        await cluster.get()
    cluster.error = None
    assert await cluster.get() == [pod("a")]


async def test_it_is_renewed_for_ever_whatever_fails() -> None:
    cluster = Cluster()
    cluster.error = errors.Unavailable("away")
    rests = 0

    async def rest(_seconds: float) -> None:
        nonlocal rests
        rests += 1
        cluster.error = None
        if rests == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await cluster.list.keep_renewing(cluster.read, rest)
    assert cluster.num_reads == 3
