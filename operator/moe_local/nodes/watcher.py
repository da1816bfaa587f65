"""Watches over one running container: postStart, then its startup, readiness and liveness probes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from moe_local.nodes.probes import Execute, Timing, Verdict, look
from moe_local.nodes.status import ContainerView

Json = dict[str, Any]

# Until a container is ready for the first time it is asked more often: pods become ready sooner, at little cost.
EAGER_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Container:
    """What there is to watch, and the ways to act on it."""

    spec: Json
    view: ContainerView
    address: str
    execute: Execute
    changed: Callable[[], None]
    record: Callable[[str, str, str], None]
    """Records an event: type, reason, message."""
    end: Callable[[], Awaitable[None]]
    """Ends the container, whose policy then decides."""


async def watch(container: Container) -> None:
    """Until cancelled, or until a probe has ended the container."""
    await run_hook(container, "postStart", 30.0)
    spec = container.spec
    if (probe := spec.get("startupProbe")) and not await _has_started(container, probe):
        return
    loops = []
    if probe := spec.get("readinessProbe"):
        loops.append(_watch_readiness(container, probe))
    if probe := spec.get("livenessProbe"):
        loops.append(_watch_liveness(container, probe))
    await asyncio.gather(*loops)


async def run_hook(container: Container, name: str, seconds: float) -> None:
    """Runs postStart or preStop for at most so long."""
    hook = (container.spec.get("lifecycle") or {}).get(name) or {}
    if hook.get("exec"):
        code, output = await container.execute(list(hook["exec"]["command"]), max(seconds, 0.1))
        if code != 0:
            reason = f"Failed{name[0].upper()}{name[1:]}Hook"
            container.record("Warning", reason, f"{name} of {container.view.name} ended with {code}: {output}")
    elif (hook.get("sleep") or {}).get("seconds"):
        await asyncio.sleep(min(float(hook["sleep"]["seconds"]), seconds))


async def _has_started(container: Container, probe: Json) -> bool:
    timing, failures = Timing.read(probe), 0
    await asyncio.sleep(timing.delay)
    while failure := await _look(container, probe, "Startup"):
        failures += 1
        if failures >= timing.failures:
            await _give_up(container, "startup", failure)
            return False
        await asyncio.sleep(timing.period)
    container.view.started = True
    container.view.ready = not container.spec.get("readinessProbe")
    container.changed()
    return True


async def _watch_readiness(container: Container, probe: Json) -> None:
    verdict = Verdict(timing=Timing.read(probe), good=False)
    await asyncio.sleep(verdict.timing.delay)
    while True:
        if verdict.look(await _look(container, probe, "Readiness")):
            container.view.ready = verdict.good
            container.changed()
        period = verdict.timing.period
        await asyncio.sleep(period if verdict.good else min(period, EAGER_SECONDS))


async def _watch_liveness(container: Container, probe: Json) -> None:
    verdict = Verdict(timing=Timing.read(probe), good=True)
    await asyncio.sleep(verdict.timing.delay)
    while True:
        failure = await _look(container, probe, "Liveness")
        if verdict.look(failure):
            await _give_up(container, "liveness", failure)
            return
        await asyncio.sleep(verdict.timing.period)


async def _look(container: Container, probe: Json, kind: str) -> str:
    named = [port for port in container.spec.get("ports") or [] if port.get("name")]
    ports = {port["name"]: port["containerPort"] for port in named}
    failure = await look(probe, container.address, ports, container.execute)
    if failure:
        container.record("Warning", "Unhealthy", f"{kind} probe failed: {failure}")
    return failure


async def _give_up(container: Container, kind: str, failure: str) -> None:
    name = container.view.name
    container.record("Normal", "Killing", f"Container {name} failed {kind} probe ({failure}), will be restarted")
    await container.end()
