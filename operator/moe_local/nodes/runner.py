"""One container of a pod: starts it, watches over it, restarts it, stops it. Its view is what the status shows."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe_local.container import Order
from moe_local.errors import StartError
from moe_local.nodes.backoff import Backoff, restarts
from moe_local.nodes.host import Host
from moe_local.nodes.launcher import KILLED, Child
from moe_local.nodes.probes import Timing, Verdict, look
from moe_local.nodes.status import ContainerView, running, terminated, waiting

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Pod:
    """What a container's runner needs of its pod."""

    read: Callable[[], Json]
    policy: str
    address: Callable[[], str]
    order: Callable[[Json, int], Awaitable[Order]]
    changed: Callable[[], None]
    grace: float


class ContainerRunner:
    """Runs one container until its policy says that it is done."""

    def __init__(self, host: Host, pod: Pod, spec: Json, *, is_init: bool) -> None:
        self.view = ContainerView(name=spec["name"], image=spec.get("image", ""))
        self._host = host
        self._pod = pod
        self._spec = spec
        # A failed init container is retried under Always too, and one that succeeded never.
        self._policy = "OnFailure" if is_init and pod.policy == "Always" else pod.policy
        self._backoff = Backoff()
        self._child: Child | None = None
        self._order: Order | None = None
        self._started_at = ""

    @property
    def log_file(self) -> Path | None:
        """The output of the current or last run."""
        return Path(self._order.log) if self._order else None

    def adopt(self, before: Json) -> None:
        """Takes over what was reported before the node was off: that run ended with the node."""
        self.view.restart_count = before.get("restartCount", 0)
        state = before.get("state") or {}
        if "terminated" in state:
            self.view.state = state
            self.view.id = before.get("containerID", "")
        elif "running" in state:
            now = self._host.timestamp()
            self.view.state = terminated(
                KILLED, state["running"]["startedAt"], now, before.get("containerID", ""), "the node was off"
            )
        self.view.last_state = before.get("lastState") or {}

    async def run(self) -> int:
        """Runs, and runs again as the policy says; gives the last exit code."""
        code = self.view.exit_code
        if code is not None:
            if not restarts(self._policy, code):
                return code
            self._begin_again("ContainerCreating", "")
        while True:
            began = time.monotonic()
            code = await self._run_once()
            if code is not None and not restarts(self._policy, code):
                return code
            await self._wait_for_restart(self._backoff.after(time.monotonic() - began), has_run=code is not None)

    async def stop(self, remaining: Callable[[], float]) -> None:
        """preStop, SIGTERM, and SIGKILL when no seconds remain; returns when the container has ended."""
        child = self._child
        if child is None or child.ended.done():
            self._end(child)
            return
        self._host.events.record(self._pod.read(), "Normal", "Killing", f"Stopping container {self.view.name}")
        await self._run_hook("preStop", remaining())
        self._host.launcher.kill(child, signal.SIGTERM)
        while not child.ended.done() and (seconds := remaining()) > 0:
            # The grace may be cut short meanwhile, so look again now and then.
            await asyncio.wait([child.ended], timeout=min(seconds, 0.5))
        self._host.launcher.kill(child, signal.SIGKILL)
        await asyncio.wait([child.ended])
        self._end(child)

    def kill(self) -> None:
        """SIGKILL at once, without waiting."""
        if self._child is not None:
            self._host.launcher.kill(self._child, signal.SIGKILL)

    async def execute(self, command: list[str], timeout: float) -> tuple[int, str]:
        """Runs a command inside the container; gives its exit code and the start of its output."""
        assert self._child is not None
        assert self._order is not None
        log = Path(f"{self._order.log}.exec-{time.monotonic_ns()}")
        order = Order(argv=tuple(command), env=self._order.env, cwd=self._order.cwd, log=str(log), join=self._child.pid)
        try:
            child = await self._host.launcher.start(order)
            done, _ = await asyncio.wait([child.ended], timeout=timeout)
            if not done:
                self._host.launcher.kill(child, signal.SIGKILL)
                return KILLED, f"command timed out after {timeout:g} s"
            return child.ended.result(), _start_of(log)
        except StartError as error:
            return 126, str(error)
        finally:
            log.unlink(missing_ok=True)  # noqa: ASYNC240  # a small local file

    async def _run_once(self) -> int | None:
        """One run; None when it could not even start."""
        try:
            self._order = await self._pod.order(self._spec, self.view.restart_count)
            if not self._host.launcher.is_warm:
                self._show(waiting("ContainerCreating", "waiting for the node's warm Python process"))
            self._child = await self._host.launcher.start(self._order)
        except StartError as error:
            self._host.events.record(self._pod.read(), "Warning", "Failed", f"{self.view.name}: {error}")
            self._show(waiting(error.reason, str(error)))
            return None
        self._host.events.record(self._pod.read(), "Normal", "Started", f"Started container {self.view.name}")
        self._started_at = self._host.timestamp()
        self.view.id = f"moe-local://{self._pod.read()['metadata']['uid']}/{self.view.name}/{self.view.restart_count}"
        self.view.started = not self._spec.get("startupProbe")
        self.view.ready = self.view.started and not self._spec.get("readinessProbe")
        self._show(running(self._started_at))
        return await self._attend(self._child)

    async def _attend(self, child: Child) -> int:
        watchers = asyncio.create_task(self._watch(child))
        try:
            await asyncio.wait([child.ended])
        finally:
            watchers.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watchers
        self._end(child)
        return child.ended.result()

    def _end(self, child: Child | None) -> None:
        self.view.ready = self.view.started = False
        if child is not None and child.ended.done() and "running" in self.view.state:
            code = child.ended.result()
            now = self._host.timestamp()
            self._show(terminated(code, self._started_at, now, self.view.id))
        else:
            self._pod.changed()

    async def _wait_for_restart(self, delay: float, *, has_run: bool) -> None:
        if not has_run:
            await asyncio.sleep(delay)
            return
        if "terminated" in self.view.state:
            self._begin_again("CrashLoopBackOff", f"back-off {delay:g}s restarting failed container={self.view.name}")
            self._host.events.record(self._pod.read(), "Warning", "BackOff", f"restarting container {self.view.name}")
        await asyncio.sleep(delay)

    def _begin_again(self, reason: str, message: str) -> None:
        self.view.last_state = self.view.state
        self.view.restart_count += 1
        self._show(waiting(reason, message))

    def _show(self, state: Json) -> None:
        self.view.state = state
        self._pod.changed()

    async def _watch(self, child: Child) -> None:
        """postStart, then the probes, until cancelled."""
        await self._run_hook("postStart", 30.0)
        if probe := self._spec.get("startupProbe"):
            await self._watch_startup(probe, child)
        loops = [self._watch_readiness(probe) for probe in [self._spec.get("readinessProbe")] if probe]
        loops += [self._watch_liveness(probe, child) for probe in [self._spec.get("livenessProbe")] if probe]
        await asyncio.gather(*loops)

    async def _watch_startup(self, probe: Json, child: Child) -> None:
        verdict = Verdict(timing=Timing.read(probe), good=False)
        failures = 0
        await asyncio.sleep(verdict.timing.delay)
        while not verdict.good:
            failure = await self._look(probe, "Startup")
            failures = failures + 1 if failure else 0
            if failures >= verdict.timing.failures:
                await self._fail_probe("Startup", failure, child)
                return
            if not verdict.look(failure):
                await asyncio.sleep(verdict.timing.period)
        self.view.started = True
        self.view.ready = not self._spec.get("readinessProbe")
        self._pod.changed()

    async def _watch_readiness(self, probe: Json) -> None:
        verdict = Verdict(timing=Timing.read(probe), good=False)
        await asyncio.sleep(verdict.timing.delay)
        while True:
            if verdict.look(await self._look(probe, "Readiness")):
                self.view.ready = verdict.good
                self._pod.changed()
            # Until it is ready for the first time, look more often: pods become ready sooner, at little cost.
            await asyncio.sleep(verdict.timing.period if verdict.good else min(verdict.timing.period, 1.0))

    async def _watch_liveness(self, probe: Json, child: Child) -> None:
        verdict = Verdict(timing=Timing.read(probe), good=True)
        await asyncio.sleep(verdict.timing.delay)
        while True:
            failure = await self._look(probe, "Liveness")
            if verdict.look(failure):
                await self._fail_probe("Liveness", failure, child)
                return
            await asyncio.sleep(verdict.timing.period)

    async def _look(self, probe: Json, kind: str) -> str:
        ports = {port["name"]: port["containerPort"] for port in self._spec.get("ports") or [] if port.get("name")}
        failure = await look(probe, self._pod.address(), ports, self.execute)
        if failure:
            self._host.events.record(self._pod.read(), "Warning", "Unhealthy", f"{kind} probe failed: {failure}")
        return failure

    async def _fail_probe(self, kind: str, failure: str, child: Child) -> None:
        """Ends the container, whose policy then decides; the grace is the pod's."""
        message = f"Container {self.view.name} failed {kind.lower()} probe ({failure}), will be restarted"
        self._host.events.record(self._pod.read(), "Normal", "Killing", message)
        self._host.launcher.kill(child, signal.SIGTERM)
        await asyncio.wait([child.ended], timeout=self._pod.grace)
        self._host.launcher.kill(child, signal.SIGKILL)

    async def _run_hook(self, name: str, seconds: float) -> None:
        hook = (self._spec.get("lifecycle") or {}).get(name) or {}
        if hook.get("exec"):
            code, output = await self.execute(list(hook["exec"]["command"]), max(seconds, 0.1))
            if code != 0:
                message = f"{name} of {self.view.name} ended with {code}: {output}"
                self._host.events.record(self._pod.read(), "Warning", f"Failed{name[0].upper()}{name[1:]}Hook", message)
        elif (hook.get("sleep") or {}).get("seconds"):
            await asyncio.sleep(min(float(hook["sleep"]["seconds"]), seconds))


def _start_of(log: Path) -> str:
    return log.read_text(errors="replace")[:1000]
