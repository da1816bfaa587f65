"""One pod on a node, from its binding to its removal. Level based: it takes the latest object and goes on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from pathlib import Path
from typing import Any

from moe_local.errors import StartError
from moe_local.nodes import environment
from moe_local.nodes.addresses import HOST_ADDRESS, loopback
from moe_local.nodes.host import Host
from moe_local.nodes.orders import Orders
from moe_local.nodes.reporter import Reporter
from moe_local.nodes.runner import ContainerRunner, Pod
from moe_local.nodes.status import PodView
from moe_local.nodes.volumes import Volumes

Json = dict[str, Any]

REFRESH_SECONDS = 60.0
RETRY_SECONDS = 0.5

logger = logging.getLogger(__name__)


class PodRunner:
    """Runs one pod and reports on it."""

    def __init__(self, host: Host, pod: Json) -> None:
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self._host = host
        self._folder: Path = host.folder / "pods" / self.uid
        self._policy = pod["spec"].get("restartPolicy", "Always")
        self._volumes = Volumes(host.api, pod, self._folder, self._facts)
        self._orders = Orders(host, pod["metadata"], self._folder, self._volumes, self._facts)
        self._reporter = Reporter(host.api, pod["metadata"], self._view, host.timestamp)
        spec, shared = pod["spec"], self._shared()
        self._init = [ContainerRunner(host, shared, one, is_init=True) for one in spec.get("initContainers") or []]
        self._main = [ContainerRunner(host, shared, one, is_init=False) for one in spec["containers"]]
        self._address = ""
        self._start_time = (pod.get("status") or {}).get("startTime") or host.timestamp()
        self._is_over = False
        self._deadline: float | None = None
        self._deleting = asyncio.Event()

    @property
    def name(self) -> str:
        """namespace/name."""
        return f"{self.pod['metadata']['namespace']}/{self.pod['metadata']['name']}"

    @property
    def address(self) -> str:
        """Its published address; empty before it has one."""
        return self._address

    def update(self, pod: Json) -> None:
        """Takes a newer version of the object."""
        self.pod = pod
        metadata = pod["metadata"]
        self._reporter.recall((pod.get("status") or {}).get("conditions") or [])
        if pod["spec"].get("readinessGates"):
            self._reporter.changed()
        if metadata.get("deletionTimestamp"):
            deadline = time.monotonic() + float(metadata.get("deletionGracePeriodSeconds") or 0)
            self._deadline = min(deadline, self._deadline) if self._deadline is not None else deadline
            self._deleting.set()

    async def run(self) -> None:
        """Runs the pod until it is removed; ends when nothing is left to do."""
        self._take_over()
        self.update(self.pod)
        self._reporter.changed()
        reporting = asyncio.create_task(self._reporter.run())
        try:
            await self._work_until_deleted()
            await asyncio.gather(*(runner.stop(self._remaining) for runner in self._init + self._main))
            self._is_over = True
            await self._reporter.finish(reporting)
        finally:
            reporting.cancel()

    def gpus_changed(self) -> None:
        """The health of its GPUs may be new."""
        self._reporter.changed()

    def kill(self) -> None:
        """SIGKILL to all its containers, at once; nothing is reported. The task of `run` is the caller's to cancel."""
        for runner in self._init + self._main:
            runner.kill()

    def forget(self) -> None:
        """Gives back what the pod had on this node."""
        self._host.gpus.release(self.uid)
        self._host.subnet.give_back(self._address)
        self._host.events.forget(self.uid)
        self._volumes.remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    def log_file(self, container: str, *, previous: bool) -> Path | None:
        """The output of a container; None when it never ran."""
        for runner in self._init + self._main:
            if runner.view.name == container:
                number = runner.view.restart_count
                # While it waits for its restart, its last run is what there is to see.
                numbers = range(number - 1 if previous else number, -1, -1)
                files = (self._orders.log(container, attempt) for attempt in numbers)
                return next((file for file in files if file.exists()), None)
        return None

    def has_container(self, name: str) -> bool:
        """Whether the spec names such a container."""
        return any(runner.view.name == name for runner in self._init + self._main)

    def is_running(self, container: str) -> bool:
        """Whether the container runs now."""
        return any(one.view.name == container and "running" in one.view.state for one in self._init + self._main)

    def _take_over(self) -> None:
        """Continues what an earlier life of this node reported."""
        status = self.pod.get("status") or {}
        self._is_over = status.get("phase") in ("Succeeded", "Failed")
        before = (status.get("containerStatuses") or []) + (status.get("initContainerStatuses") or [])
        known = {one["name"]: one for one in before}
        for runner in self._init + self._main:
            if runner.view.name in known:
                runner.adopt(known[runner.view.name])

    async def _work_until_deleted(self) -> None:
        deleting = asyncio.create_task(self._deleting.wait())
        if self._is_over or self._deleting.is_set():
            await deleting
            return
        working = asyncio.create_task(self._work())
        try:
            await asyncio.wait([working, deleting], return_when=asyncio.FIRST_COMPLETED)
            if working.done() and (error := working.exception()):
                logger.error("pod %s: %r", self.name, error, exc_info=error)
            await deleting
        finally:
            deleting.cancel()
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await working

    async def _work(self) -> None:
        await self._set_up()
        refreshing = asyncio.create_task(self._refresh_for_ever())
        try:
            for runner in self._init:
                if await runner.run() != 0:
                    break
            else:
                await asyncio.gather(*(runner.run() for runner in self._main))
        finally:
            refreshing.cancel()
        self._is_over = True
        self._host.gpus.release(self.uid)
        self._reporter.changed()

    async def _set_up(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._address = self._host.subnet.take()
        while True:
            try:
                await self._volumes.prepare()
                return
            except (StartError, OSError) as error:
                self._wait_for(f"{error}")
                await asyncio.sleep(RETRY_SECONDS)

    def _wait_for(self, message: str) -> None:
        self._host.events.record(self.pod, "Warning", "FailedMount", message)
        for runner in self._init + self._main:
            waiting = runner.view.state.get("waiting")
            if waiting and waiting.get("message") != message:
                runner.view.state = {"waiting": {"reason": "ContainerCreating", "message": message}}
                self._reporter.changed()

    async def _refresh_for_ever(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self._volumes.refresh()
            except (StartError, OSError) as error:
                logger.warning("pod %s: volumes not refreshed: %s", self.name, error)

    def _facts(self) -> environment.Facts:
        return environment.Facts(
            pod=self.pod,
            pod_ip=loopback(self._address),
            host_ip=HOST_ADDRESS,
            allocatable=self._host.allocatable,
        )

    def _shared(self) -> Pod:
        return Pod(
            read=lambda: self.pod,
            policy=self._policy,
            address=lambda: loopback(self._address),
            order=self._orders.make,
            changed=self._reporter.changed,
            grace=float(self.pod["spec"].get("terminationGracePeriodSeconds", 30)),
        )

    def _remaining(self) -> float:
        return 0.0 if self._deadline is None else self._deadline - time.monotonic()

    def _view(self) -> PodView:
        for runner in self._init + self._main:
            runner.view.gpus = self._host.gpus.statuses(self.uid, runner.view.name)
        return PodView(
            policy=self._policy,
            generation=self.pod["metadata"].get("generation") or 0,
            init=[runner.view for runner in self._init],
            containers=[runner.view for runner in self._main],
            pod_ip=self._address,
            host_ip=HOST_ADDRESS,
            start_time=self._start_time,
            gates=[gate["conditionType"] for gate in self.pod["spec"].get("readinessGates") or []],
            is_over=self._is_over,
        )
