"""The daemon's TLS server: the part of the kubelet's API that `kubectl logs` needs, and the moe-local commands.

Every client must show a certificate of the cluster's own authority.
"""

from __future__ import annotations

import asyncio
import collections
import ssl
from collections.abc import Awaitable, Mapping
from pathlib import Path

from aiohttp import web

from moe_local.errors import LocalError
from moe_local.nodes.agent import NodeAgent
from moe_local.nodes.directory import PodDirectory
from moe_local.nodes.firewall import Firewall
from moe_local.nodes.pod import PodRunner
from moe_local.nodes.services import Services
from moe_local.nodes.signs import Sign

POLL_SECONDS = 0.1
CHUNK = 1 << 16


class Server:
    """Serves all nodes from one port."""

    def __init__(
        self, agents: Mapping[str, NodeAgent], pods: PodDirectory, services: Services, firewall: Firewall
    ) -> None:
        self._agents = agents
        self._pods = pods
        self._services = services
        self._firewall = firewall
        self.is_ready = False

    async def start(self, pki: Path, port: int) -> web.AppRunner:
        """Listens; the caller cleans the returned runner up."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki / "ca.crt"))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(pki / "server.crt", pki / "server.key")
        application = web.Application()
        application.add_routes(
            [
                web.get("/healthz", self._health),
                web.get("/containerLogs/{namespace}/{pod}/{container}", self._logs),
                web.get("/local/nodes", self._nodes),
                web.post("/local/nodes/{node}/stop", self._stop_node),
                web.post("/local/nodes/{node}/start", self._start_node),
                web.post("/local/nodes/{node}/partition/{side}", self._partition),
                web.post("/local/nodes/{node}/rejoin", self._rejoin),
                web.post("/local/nodes/{node}/gpus/{gpu}/report/{sign}", self._report_gpu),
                web.post("/local/nodes/{node}/gpus/{gpu}/clear", self._clear_gpu),
                web.get("/local/services/{namespace}/{service}", self._service),
            ]
        )
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        return runner

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok") if self.is_ready else web.Response(status=503, text="nodes are registering")

    async def _nodes(self, _request: web.Request) -> web.Response:
        return web.json_response([self._describe(agent) for agent in self._agents.values()])

    def _describe(self, agent: NodeAgent) -> dict[str, object]:
        cut_off = (not agent.host.way.is_open(), self._firewall.is_cut(agent.host.subnet.number))
        cuts = [side for side, is_cut in zip(("api", "peers"), cut_off, strict=True) if is_cut]
        return {"name": agent.host.name, "on": agent.is_on, "pods": agent.num_pods, "cut_from": cuts}

    async def _stop_node(self, request: web.Request) -> web.Response:
        agent = self._agent(request)
        if agent.is_on:
            await agent.cut_power()
        return web.json_response({})

    async def _start_node(self, request: web.Request) -> web.Response:
        agent = self._agent(request)
        if not agent.is_on:
            # Else it could not register; a reboot is done on a whole network.
            await self._reconnect(agent)
            await agent.start()
            agent.replace(self._pods.of(agent.host.name))
        return web.json_response({})

    async def _partition(self, request: web.Request) -> web.Response:
        agent, side = self._agent(request), request.match_info["side"]
        answer = web.json_response({})
        if side in ("peers", "all"):
            answer = await self._answer(self._firewall.cut(agent.host.subnet.number))
        if side in ("api", "all"):
            agent.host.way.cut()
        return answer

    async def _rejoin(self, request: web.Request) -> web.Response:
        agent = self._agent(request)
        await self._reconnect(agent)
        agent.replace(self._pods.of(agent.host.name))
        return web.json_response({})

    async def _reconnect(self, agent: NodeAgent) -> None:
        await self._firewall.mend(agent.host.subnet.number)
        agent.host.way.mend()

    async def _report_gpu(self, request: web.Request) -> web.Response:
        sign = Sign(request.match_info["sign"])
        return await self._answer(self._agent(request).watchdog.report(int(request.match_info["gpu"]), sign))

    async def _clear_gpu(self, request: web.Request) -> web.Response:
        return await self._answer(self._agent(request).watchdog.clear(int(request.match_info["gpu"])))

    async def _answer(self, order: Awaitable[None]) -> web.Response:
        """An empty answer once the order is carried out; our own errors as the client's."""
        try:
            await order
        except LocalError as error:
            raise web.HTTPConflict(text=str(error)) from error
        return web.json_response({})

    def _agent(self, request: web.Request) -> NodeAgent:
        name = request.match_info["node"]
        if name not in self._agents:
            raise web.HTTPNotFound(text=f"{name}: no such node; there are {', '.join(self._agents)}")
        return self._agents[name]

    async def _service(self, request: web.Request) -> web.Response:
        namespace, name = request.match_info["namespace"], request.match_info["service"]
        found = self._services.describe(namespace, name)
        if found is None:
            others = ", ".join(self._services.names()) or "none"
            raise web.HTTPNotFound(text=f"{namespace}/{name}: no such Service; there are {others}")
        return web.json_response(found)

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        namespace, name = request.match_info["namespace"], request.match_info["pod"]
        container, query = request.match_info["container"], request.query
        runner = next((one for agent in self._agents.values() if (one := agent.find(namespace, name))), None)
        if runner is None:
            raise web.HTTPNotFound(text=f'pods "{name}" not found on this node')
        if not runner.has_container(container):
            raise web.HTTPNotFound(text=f"container {container} not found in pod {name}")
        file = runner.log_file(container, previous=query.get("previous") == "true")
        if file is None:
            raise web.HTTPBadRequest(text=f'container "{container}" in pod "{name}" has no such logs (yet)')
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        tail = int(query["tailLines"]) if "tailLines" in query else None
        await _send_log(response, file, tail, runner if query.get("follow") == "true" else None, container)
        return response


async def _send_log(
    response: web.StreamResponse, path: Path, tail: int | None, followed: PodRunner | None, container: str
) -> None:
    """Sends a log; goes on while the followed pod's container runs."""
    with open(path, "rb") as log:  # noqa: ASYNC230  # a local file, read in small pieces
        if tail is not None:
            await response.write(b"".join(collections.deque(log, maxlen=tail)))
        while True:
            is_live = followed is not None and followed.is_running(container)
            while data := log.read(CHUNK):
                await response.write(data)
            if not is_live:
                return
            await asyncio.sleep(POLL_SECONDS)
