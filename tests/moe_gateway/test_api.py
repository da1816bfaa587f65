"""The watch against a small HTTP server that answers as the API server does, and fails when told."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio import client

from moe_gateway.api import StageWatch
from tests.moe_gateway.conftest import until
from tests.moe_gateway.stages import stage_json


class FakeApiServer:
    """Lists `items`; every open watch gets the events that are said."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.is_down = False
        self.num_refused = 0
        self.watch_status = 200
        self.lists: list[dict[str, str]] = []
        self.watches: list[tuple[dict[str, str], asyncio.Queue[bytes | None]]] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/apis/moe-operator.dev/v1alpha1/namespaces/default/moestages", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        self.end_watches()
        assert self._runner is not None
        await self._runner.cleanup()

    def say(self, kind: str, item: dict[str, Any]) -> None:
        for _, queue in self.watches[-1:]:
            queue.put_nowait(json.dumps({"type": kind, "object": item}).encode() + b"\n")

    def end_watches(self) -> None:
        for _, queue in self.watches:
            queue.put_nowait(None)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.is_down:
            self.num_refused += 1
            return web.Response(status=503)
        if "watch" in request.query:
            return await self._watch(request)
        self.lists.append(dict(request.query))
        return web.json_response({"metadata": {"resourceVersion": "100"}, "items": self.items})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.watches.append((dict(request.query), queue))
        response = web.StreamResponse(status=self.watch_status)
        await response.prepare(request)
        while self.watch_status == 200 and (line := await queue.get()) is not None:
            half = len(line) // 2
            await response.write(line[:half])
            await response.write(line[half:])
        return response


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    server = FakeApiServer()
    server.items = [stage_json()]
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def seen(server: FakeApiServer) -> AsyncIterator[list[list[str]]]:
    """The names of the stages, each time they were told."""
    told: list[list[str]] = []
    configuration = client.Configuration(host=server.url)
    watch = StageWatch(
        configuration,
        namespace="default",
        deployment="demo",
        on_stages=lambda stages: told.append([stage.metadata.name for stage in stages]),
    )
    task = asyncio.create_task(watch.run())
    yield told
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_list_is_told_and_then_every_change(server: FakeApiServer, seen: list[list[str]]) -> None:
    await until(lambda: bool(server.watches))
    assert seen == [["demo-r0-s00"]]
    server.say("ADDED", stage_json(replica=1, version=101))
    await until(lambda: len(seen) == 2)
    server.say("DELETED", stage_json(replica=0, version=102))
    await until(lambda: len(seen) == 3)
    assert seen[1:] == [["demo-r0-s00", "demo-r1-s00"], ["demo-r1-s00"]]


async def test_only_first_stages_of_the_own_deployment_are_asked_for(
    server: FakeApiServer, seen: list[list[str]]
) -> None:
    await until(lambda: bool(server.watches))
    selector = "moe-operator.dev/deployment=demo,moe-operator.dev/stage=0"
    assert server.lists[0]["labelSelector"] == selector
    assert server.watches[0][0]["labelSelector"] == selector


async def test_a_watch_that_ends_goes_on_from_the_last_version(server: FakeApiServer, seen: list[list[str]]) -> None:
    await until(lambda: bool(server.watches))
    server.say("BOOKMARK", {"metadata": {"resourceVersion": "150"}})
    server.end_watches()
    await until(lambda: len(server.watches) == 2)
    assert server.watches[1][0]["resourceVersion"] == "150"
    assert len(server.lists) == 1


async def test_a_version_that_is_too_old_is_listed_anew(server: FakeApiServer, seen: list[list[str]]) -> None:
    await until(lambda: bool(server.watches))
    server.say("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
    await until(lambda: len(server.watches) == 2)
    assert len(server.lists) == 2


async def test_while_the_api_server_is_away_nothing_is_told(server: FakeApiServer, seen: list[list[str]]) -> None:
    await until(lambda: bool(server.watches))
    server.is_down = True
    server.end_watches()
    server.items = []
    await until(lambda: server.num_refused >= 2)
    assert len(seen) == 1
    server.is_down = False
    await until(lambda: len(seen) == 2)
    assert seen[1] == []


async def test_a_refused_watch_is_tried_again(server: FakeApiServer, seen: list[list[str]]) -> None:
    server.watch_status = 403
    await until(lambda: len(server.watches) >= 1)
    server.watch_status = 200
    await until(lambda: server.watches[-1][1].empty() and len(server.lists) >= 2)


async def test_a_stage_that_cannot_be_read_stays_as_it_was_known(server: FakeApiServer, seen: list[list[str]]) -> None:
    await until(lambda: bool(server.watches))
    server.say("MODIFIED", {"metadata": {"name": "demo-r0-s00", "resourceVersion": "101"}, "spec": {"stage": "?"}})
    await until(lambda: len(seen) == 2)
    assert seen[1] == ["demo-r0-s00"]
