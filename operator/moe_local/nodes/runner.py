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
from moe_local.nodes.status import ContainerView, running, terminated, waiting
from moe_local.nodes.watcher import Container, run_hook, watch

Json = dict[str, Any]

START_RETRY_SECONDS = 5.0


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
        self._restarting = Backoff()
        # What hinders a start, such as a missing Secret, may be put right at any moment.
        self._starting = Backoff(limit=START_RETRY_SECONDS)
        self._child: Child | None = None
        self._order: Order | None = None
        self._started_at = ""

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
            if code is None:
                await asyncio.sleep(self._starting.after(0.0))
            else:
                await self._wait_for_restart(self._restarting.after(time.monotonic() - began))

    async def stop(self, remaining: Callable[[], float]) -> None:
        """preStop, SIGTERM, and SIGKILL when no seconds remain; returns when the container has ended."""
        child = self._child
        if child is None or child.ended.done():
            self._end(child)
            return
        self._record("Normal", "Killing", f"Stopping container {self.view.name}")
        await run_hook(self._watched(), "preStop", remaining())
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

    async def _execute(self, command: list[str], timeout: float) -> tuple[int, str]:
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
            self._record("Warning", "Failed", f"{self.view.name}: {error}")
            self._show(waiting(error.reason, str(error)))
            return None
        self._record("Normal", "Started", f"Started container {self.view.name}")
        self._started_at = self._host.timestamp()
        self.view.id = f"moe-local://{self._pod.read()['metadata']['uid']}/{self.view.name}/{self.view.restart_count}"
        self.view.started = not self._spec.get("startupProbe")
        self.view.ready = self.view.started and not self._spec.get("readinessProbe")
        self._show(running(self._started_at))
        return await self._attend(self._child)

    async def _attend(self, child: Child) -> int:
        watchers = asyncio.create_task(watch(self._watched()))
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

    async def _wait_for_restart(self, delay: float) -> None:
        if "terminated" in self.view.state:
            self._begin_again("CrashLoopBackOff", f"back-off {delay:g}s restarting failed container={self.view.name}")
            self._record("Warning", "BackOff", f"restarting container {self.view.name}")
        await asyncio.sleep(delay)

    def _begin_again(self, reason: str, message: str) -> None:
        self.view.last_state = self.view.state
        self.view.restart_count += 1
        self._show(waiting(reason, message))

    def _show(self, state: Json) -> None:
        self.view.state = state
        self._pod.changed()

    def _watched(self) -> Container:
        return Container(
            spec=self._spec,
            view=self.view,
            address=self._pod.address(),
            execute=self._execute,
            changed=self._pod.changed,
            record=self._record,
            end=self._end_by_force,
        )

    async def _end_by_force(self) -> None:
        child = self._child
        if child is not None:
            self._host.launcher.kill(child, signal.SIGTERM)
            await asyncio.wait([child.ended], timeout=self._pod.grace)
            self._host.launcher.kill(child, signal.SIGKILL)

    def _record(self, kind: str, reason: str, message: str) -> None:
        self._host.events.record(self._pod.read(), kind, reason, message)


def _start_of(log: Path) -> str:
    return log.read_text(errors="replace")[:1000]
