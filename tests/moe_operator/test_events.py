"""When events are posted, and what becomes of them while the API server is away."""

from __future__ import annotations

import asyncio

import pytest

from moe_api.names import Reason
from moe_operator import errors, resources
from moe_operator.decide.actions import Event
from moe_operator.events import RETRY_SECONDS, Herald
from moe_operator.memory import MemoryApi
from tests.moe_operator.world import NAMESPACE, StoppedClock

ABOUT = {"kind": "MoEStage", "namespace": NAMESPACE, "name": "big-r0-s00", "uid": "u"}
EVENTS = [Event(reason=Reason.ALL_EXPERTS_READY, message=word, is_warning=False) for word in ("one", "two")]


class Away:
    """Lets writes fail so often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, _verb: str, _place: object) -> None:
        if self.times:
            self.times -= 1
            raise errors.Unavailable("away")


class Posted:
    """A herald and what it has posted."""

    def __init__(self, hold_seconds: float) -> None:
        self.away = Away()
        self.api = MemoryApi(before_write=self.away)
        self.clock = StoppedClock()
        self.herald = Herald(self.api, self.clock, hold_seconds=hold_seconds)

    async def messages(self) -> list[str]:
        for _ in range(20):
            await asyncio.sleep(0)
        found = await self.api.list_objects(resources.EVENTS, NAMESPACE, {})
        return sorted(event["message"] for event in found)

    async def after(self, seconds: float) -> list[str]:
        await self.messages()
        self.clock.advance(seconds)
        return await self.messages()


async def test_without_a_hold_they_are_posted_before_the_pass_goes_on() -> None:
    posted = Posted(0.0)
    await posted.herald.tell(ABOUT, EVENTS, occasion="3")
    assert await posted.messages() == ["one", "two"]

    posted.away.times = 1
    with pytest.raises(errors.Unavailable):
        await posted.herald.tell(ABOUT, EVENTS, occasion="4")


async def test_they_wait_for_who_is_in_a_hurry_and_bear_the_time_of_what_they_tell() -> None:
    posted = Posted(1.0)
    began = posted.clock.now()
    await posted.herald.tell(ABOUT, EVENTS, occasion="3")
    assert await posted.after(0.9) == []
    assert await posted.after(0.1) == ["one", "two"]
    found = await posted.api.list_objects(resources.EVENTS, NAMESPACE, {})
    assert {event["firstTimestamp"] for event in found} == {began.strftime("%Y-%m-%dT%H:%M:%SZ")}


async def test_an_api_server_that_is_away_is_tried_again() -> None:
    posted = Posted(1.0)
    await posted.herald.tell(ABOUT, EVENTS[:1], occasion="3")
    posted.away.times = 2
    assert await posted.after(1.0) == []
    assert await posted.after(RETRY_SECONDS[0]) == []
    assert await posted.after(RETRY_SECONDS[1]) == ["one"]


async def test_what_cannot_be_posted_is_given_up_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    posted = Posted(1.0)
    posted.away.times = 99
    await posted.herald.tell(ABOUT, EVENTS[:1], occasion="3")
    for seconds in (1.0, *RETRY_SECONDS):
        await posted.after(seconds)
    assert "1 events could not be posted and are given up: away" in caplog.text


async def test_at_the_end_nothing_waits() -> None:
    posted = Posted(1.0)
    await posted.herald.tell(ABOUT, EVENTS, occasion="3")
    await posted.herald.close()
    assert await posted.messages() == ["one", "two"]


async def test_the_end_does_not_wait_for_an_api_server_that_is_away() -> None:
    posted = Posted(1.0)
    posted.away.times = 99
    await posted.herald.tell(ABOUT, EVENTS, occasion="3")
    await posted.herald.close()
    assert await posted.messages() == []
