"""What of a stage object makes a supervisor look again."""

from collections.abc import AsyncIterator
from io import StringIO
from typing import Any

import pytest

from moe_worker.api import ApiUnavailable
from moe_worker.logs import Logger
from moe_worker.supervisor.following import Follower
from tests.moe_worker.supervisor.test_layout import stage

RANKS = [{"rank": 0, "podUID": "uid-0", "address": "127.0.0.2:1"}]


class Told:
    """An API server that shows these states of a stage, one after the other, then goes away for good."""

    def __init__(self, *states: dict[str, Any] | None) -> None:
        self._states = states

    async def follow(self, _stage_name: str) -> AsyncIterator[dict[str, Any] | None]:
        for state in self._states:
            yield state
        raise StopTest

    async def report(self, text: str) -> None:
        raise ApiUnavailable(text)

    async def get_ready(self) -> None: ...


class StopTest(Exception):
    """Ends what runs for ever."""


def state(generation: int = 4, *, uid: str = "u", **status: Any) -> dict[str, Any]:
    body = stage(generation=generation).dump()
    body["metadata"]["uid"] = uid
    return body | {"status": {"ranks": RANKS} | status}


async def looks(*states: dict[str, Any] | None) -> list[tuple[int, str] | None]:
    """The generation and first address at each look."""
    seen: list[tuple[int, str] | None] = []

    def look() -> None:
        known = follower.stage
        seen.append(known and (known.metadata.generation, known.status.ranks[0].address or ""))

    follower = Follower(Told(*states), "d-r0-s00", look, Logger("test", StringIO()))
    with pytest.raises(StopTest):
        await follower.run()
    return seen


async def test_a_status_without_other_addresses_is_no_news() -> None:
    words = state(experts_summary="1/1", reason="Fine", ranks=[RANKS[0] | {"state": "masked"}])
    assert await looks(state(), words, state()) == [(4, "127.0.0.2:1")]


async def test_another_address_is_news() -> None:
    moved = state(ranks=[RANKS[0] | {"address": "127.0.0.2:2"}])
    assert await looks(state(), moved) == [(4, "127.0.0.2:1"), (4, "127.0.0.2:2")]


async def test_a_commit_is_news_and_an_older_one_is_not() -> None:
    assert await looks(state(), state(5), state(4)) == [(4, "127.0.0.2:1"), (5, "127.0.0.2:1")]


async def test_another_object_of_the_name_is_news_and_so_is_none() -> None:
    assert await looks(state(), state(1, uid="v"), None) == [(4, "127.0.0.2:1"), (1, "127.0.0.2:1"), None]


async def test_a_state_that_can_be_read_again_is_news() -> None:
    bad = state(5) | {"spec": {}}
    assert await looks(state(), bad, state()) == [(4, "127.0.0.2:1")] * 3
