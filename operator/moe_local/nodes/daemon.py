"""The process that holds all nodes: wires the parts together, and takes every pod with it when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import signal
from typing import Any

from moe_local.api import Api
from moe_local.nodes import firewall
from moe_local.nodes.addresses import Claims
from moe_local.nodes.agent import NodeAgent
from moe_local.nodes.directory import BOUND, PODS, PodDirectory
from moe_local.nodes.events import Events
from moe_local.nodes.firewall import Firewall
from moe_local.nodes.gpus import Gpus
from moe_local.nodes.host import Host
from moe_local.nodes.launcher import Launcher
from moe_local.nodes.registration import capacity
from moe_local.nodes.server import Server
from moe_local.nodes.services import Services
from moe_local.nodes.way import Way
from moe_local.process import Records
from moe_local.state import Settings, State

FAREWELL_SECONDS = 3.0
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"


async def serve(state: State) -> None:
    """Runs the nodes of a cluster until SIGTERM."""
    settings = state.require()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    launcher = Launcher(settings.preload, state.logs / "zygote.log", Records(state.processes))
    claims = Claims()
    with contextlib.closing(claims):
        async with Api.connect(state.pki / "nodes.kubeconfig") as api:
            agents = _agents(state, settings, api, launcher, claims)
            work = asyncio.create_task(_work(state, settings, api, launcher, agents))
            stopped = asyncio.create_task(stopping.wait())
            await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
            await _say_farewell(agents, launcher)
            work.cancel()
            stopped.cancel()
            results = await asyncio.gather(work, return_exceptions=True)
            if not stopping.is_set() and isinstance(results[0], BaseException):
                raise results[0]


def _agents(state: State, settings: Settings, api: Api, launcher: Launcher, claims: Claims) -> dict[str, NodeAgent]:
    def now() -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)

    agents = {}
    for index, name in enumerate(settings.node_names):
        way = Way(settings.ports["apiserver"])
        through = api.behind(way.is_open)
        host = Host(
            name=name,
            folder=state.node(name),
            api=through,
            launcher=launcher,
            gpus=Gpus(state.node(name), settings.gpus_per_node),
            subnet=claims.claim(),
            events=Events(through, name, now),
            allocatable=capacity(settings.gpus_per_node),
            way=way,
            now=now,
        )
        agents[name] = NodeAgent(host, index, settings.gpus_per_node, settings.ports["nodes"])
    return agents


async def _work(state: State, settings: Settings, api: Api, launcher: Launcher, agents: dict[str, NodeAgent]) -> None:
    pods, services = PodDirectory(agents), Services()
    # One that was killed left its rules behind; the pods that they concerned died with it.
    firewall.remove(settings.cluster)
    server = Server(agents, pods, services, Firewall(settings.cluster))
    runner = await server.start(state.pki, settings.ports["nodes"])
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(launcher.run())
            await asyncio.gather(*(agent.host.way.start() for agent in agents.values()))
            await asyncio.gather(*(agent.start() for agent in agents.values() if agent.is_on))
            tasks.create_task(api.follow(PODS, pods.replace, pods.change, BOUND))
            tasks.create_task(services.run())
            tasks.create_task(api.follow("/api/v1/services", services.replace_services, services.change_service))
            tasks.create_task(api.follow(SLICES, services.replace_slices, services.change_slice))
            server.is_ready = True
    finally:
        await runner.cleanup()
        await asyncio.gather(*(agent.host.way.close() for agent in agents.values()))
        firewall.remove(settings.cluster)


async def _say_farewell(agents: dict[str, NodeAgent], launcher: Launcher) -> None:
    """Kills all pods and sees them end."""
    await asyncio.gather(*(agent.abandon() for agent in agents.values()))
    ends: list[asyncio.Future[Any]] = list(launcher.kill_everything())
    if ends:
        await asyncio.wait(ends, timeout=FAREWELL_SECONDS)
