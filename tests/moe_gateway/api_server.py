"""A small HTTP server that lists and watches stages as the API server does, and fails when told."""

import asyncio
import json
from typing import Any

from aiohttp import web


class FakeApiServer:
    """Lists `items`; every open watch gets the events that are said."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.is_down = False
        self.num_refused = 0
        self.watch_status = 200
        self.lists: list[dict[str, str]] = []
        self.watches: list[tuple[dict[str, str], asyncio.Queue[bytes | None]]] = []
        self.patches: list[tuple[str, dict[str, Any]]] = []
        """Pods' names and what was to be changed of them."""
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_patch("/api/v1/namespaces/default/pods/{name}", self._patch)
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

    async def _patch(self, request: web.Request) -> web.StreamResponse:
        if self.is_down:
            return web.Response(status=503)
        assert request.content_type == "application/merge-patch+json"
        self.patches.append((request.match_info["name"], await request.json()))
        return web.json_response({"kind": "Pod", "apiVersion": "v1"})

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
