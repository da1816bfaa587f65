"""The client against a small HTTP server that answers as an API server does, or does not."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio import client

from moe_worker.api import ApiUnavailable, KubernetesApi, PodGone


class Server:
    """What it is to answer, and what it was asked."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.status = 200
        self.message = ""
        self.asked: list[dict[str, str]] = []
        self.patched: list[dict[str, Any]] = []
        self.content_types: list[str] = []
        self.connections: set[Any] = set()

    async def stages(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        if self.status != 200:
            return web.json_response({"message": self.message}, status=self.status)
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "7"}, "items": self.items})
        response = web.StreamResponse()
        await response.prepare(request)
        for event in self.events:
            await response.write(json.dumps(event).encode() + b"\n")
        return response

    async def version(self, request: web.Request) -> web.Response:
        self.connections.add(request.transport)
        return web.json_response({"message": self.message}, status=self.status)

    async def pod(self, request: web.Request) -> web.Response:
        self.connections.add(request.transport)
        self.patched.append(await request.json())
        self.content_types.append(request.content_type)
        return web.json_response({"message": self.message}, status=self.status)


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[KubernetesApi]:
    app = web.Application()
    app.add_routes(
        [
            web.get("/apis/moe-operator.dev/v1alpha1/namespaces/ns/moestages", server.stages),
            web.patch("/api/v1/namespaces/ns/pods/p", server.pod),
            web.get("/version/", server.version),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with KubernetesApi(client.Configuration(host=f"http://{host}:{port}"), "ns", "p", "uid-1") as api:
            yield api
    finally:
        await runner.cleanup()


async def follow(api: KubernetesApi) -> list[dict[str, Any] | None]:
    async with aclosing(api.follow("d-r0-s00")) as states:
        return [state async for state in states]


async def test_it_lists_one_object_and_watches_on_from_there() -> None:
    server = Server()
    server.items = [{"n": 1}]
    server.events = [
        {"type": "BOOKMARK", "object": {}}, {"type": "MODIFIED", "object": {"n": 2}}, {"type": "DELETED", "object": {}},
    ]  # fmt: skip
    async with serving(server) as api:
        assert await follow(api) == [{"n": 1}, {"n": 2}, None]
    assert [asked["fieldSelector"] for asked in server.asked] == ["metadata.name=d-r0-s00"] * 2
    assert server.asked[1]["resourceVersion"] == "7"


async def test_an_absent_object_is_none() -> None:
    async with serving(Server()) as api:
        assert await follow(api) == [None]


async def test_an_expired_watch_and_a_refused_list_are_unavailable() -> None:
    server = Server()
    server.events = [{"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}]
    async with serving(server) as api:
        with pytest.raises(ApiUnavailable, match="too old resource version"):
            await follow(api)
        server.status, server.message = 403, "moestages is forbidden"
        with pytest.raises(ApiUnavailable, match="403: moestages is forbidden"):
            await follow(api)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with KubernetesApi(client.Configuration(host="http://127.0.0.1:1"), "ns", "p", "uid-1") as api:
        with pytest.raises(ApiUnavailable):
            await follow(api)
        with pytest.raises(ApiUnavailable):
            await api.report("{}")
        await api.get_ready()


async def test_who_is_ready_reports_over_the_connection_that_is_there_already() -> None:
    server = Server()
    server.status = 403
    async with serving(server) as api:
        await api.get_ready()
        assert len(server.connections) == 1
        server.status = 200
        await api.report("text")
    assert len(server.connections) == 1


async def test_a_report_changes_one_annotation_of_the_pod_with_this_uid() -> None:
    server = Server()
    async with serving(server) as api:
        await api.report("text")
    assert server.patched == [{"metadata": {"uid": "uid-1", "annotations": {"moe-operator.dev/report": "text"}}}]
    assert server.content_types == ["application/merge-patch+json"]


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (404, 'pods "p" not found', PodGone),
        (409, "Precondition failed: UID in precondition: uid-1, UID in object meta: uid-2", PodGone),
        (409, "the object has been modified", ApiUnavailable),
        (500, "etcdserver: request timed out", ApiUnavailable),
    ],
)
async def test_a_refused_report_says_whether_to_try_again(status: int, message: str, error: type[Exception]) -> None:
    server = Server()
    server.status, server.message = status, message
    async with serving(server) as api:
        with pytest.raises(error, match=message.split(":")[0].split('"')[0].strip()):
            await api.report("text")
