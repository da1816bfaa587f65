"""Events that a node records: which words it says again, and what it remembers of pods that are no more."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import pytest

from moe_local.nodes.events import Events

Json = dict[str, Any]


class Recorded:
    """Takes the place of the API."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    async def create(self, _path: str, event: Json) -> Json:
        self.events.append((event["involvedObject"]["uid"], event["message"]))
        return event


def pod(uid: str) -> Json:
    return {"metadata": {"uid": uid, "name": "p", "namespace": "default"}}


@pytest.fixture
def api() -> Recorded:
    return Recorded()


@pytest.fixture
def events(api: Recorded) -> Events:
    return Events(api, "node-0", lambda: datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))  # type: ignore[arg-type]


async def test_the_same_words_twice_in_a_row_are_recorded_once(api: Recorded, events: Events) -> None:
    for word in ("one", "one", "two", "one"):
        events.record(pod("a"), "Normal", "Started", word)
    await asyncio.sleep(0)
    assert api.events == [("a", "one"), ("a", "two"), ("a", "one")]


async def test_of_a_pod_that_is_no_more_nothing_is_remembered(api: Recorded, events: Events) -> None:
    for uid in ("a", "b", "c"):
        events.record(pod(uid), "Normal", "Started", "one")
    events.forget("a")
    events.retain({"a", "c"})
    for uid in ("a", "b", "c"):
        events.record(pod(uid), "Normal", "Started", "one")
    await asyncio.sleep(0)
    assert api.events[3:] == [("a", "one"), ("b", "one")]
