"""One node: keeps its Node and Lease, and a runner for each pod that is bound to it. Can lose its power and return."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Any

from moe_local.errors import ApiError
from moe_local.nodes import registration
from moe_local.nodes.host import Host
from moe_local.nodes.pod import PodRunner
from moe_local.nodes.watchdog import Watchdog

Json = dict[str, Any]

LEASE_PERIOD = registration.LEASE_SECONDS / 4
# The lease tells that the node lives; its status is repeated seldom, as the kubelet does.
STATUS_LEASES = 30
RETRY_SECONDS = 0.5

logger = logging.getLogger(__name__)


class NodeAgent:
    """A kubelet in small."""

    def __init__(self, host: Host, index: int, num_gpus: int, port: int) -> None:
        self.host = host
        self._index = index
        self._num_gpus = num_gpus
        self._port = port
        self._off_file = host.folder / "off"
        self._pods: dict[str, PodRunner] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._heartbeat: asyncio.Task[None] | None = None
        self._uid = ""
        self.watchdog = Watchdog(host, self._tell_of_gpus)

    @property
    def is_on(self) -> bool:
        """Whether the node has power; remembered over restarts of the daemon."""
        return not self._off_file.exists()

    async def start(self) -> None:
        """Registers the node; `replace` then tells it of the pods that are bound to it."""
        self._off_file.unlink(missing_ok=True)
        self.host.gpus.open()
        await self._register()
        self._heartbeat = asyncio.create_task(self._beat_for_ever())

    async def cut_power(self) -> None:
        """Everything on the node dies at once, nobody is told, and it stays off until `start`."""
        self._off_file.parent.mkdir(parents=True, exist_ok=True)
        self._off_file.touch()
        await self.abandon()

    async def abandon(self) -> None:
        """Kills every pod and stops reporting."""
        tasks = [*self._tasks.values(), *([self._heartbeat] if self._heartbeat else [])]
        for task in tasks:
            task.cancel()
        for runner in self._pods.values():
            runner.kill()
            self.host.subnet.give_back(runner.address)
        self._pods, self._tasks, self._heartbeat = {}, {}, None
        await asyncio.gather(*tasks, return_exceptions=True)

    def replace(self, pods: Iterable[Json]) -> None:
        """Takes the list of all pods that are bound to the node now."""
        if not self._hears:
            return
        found = {pod["metadata"]["uid"]: pod for pod in pods}
        self.host.gpus.retain(set(found))
        self.host.events.retain(set(found))
        for uid in set(self._pods) - set(found):
            self._vanish(uid)
        for pod in found.values():
            self.change("MODIFIED", pod)

    def change(self, kind: str, pod: Json) -> None:
        """Takes one watch event of a pod that is bound to the node."""
        uid = pod["metadata"]["uid"]
        if not self._hears:
            return
        if kind == "DELETED":
            self._vanish(uid)
        elif uid in self._pods:
            self._pods[uid].update(pod)
        else:
            runner = self._pods[uid] = PodRunner(self.host, pod)
            task = self._tasks[uid] = asyncio.create_task(runner.run())
            task.add_done_callback(lambda done: self._ended(runner, done))

    def find(self, namespace: str, pod: str) -> PodRunner | None:
        """The runner of a pod by name; None when the node has none."""
        return next((runner for runner in self._pods.values() if runner.name == f"{namespace}/{pod}"), None)

    @property
    def num_pods(self) -> int:
        """How many pods are bound here."""
        return len(self._pods)

    @property
    def _hears(self) -> bool:
        return self.is_on and self.host.way.is_open()

    def _tell_of_gpus(self) -> None:
        for runner in self._pods.values():
            runner.gpus_changed()

    def _vanish(self, uid: str) -> None:
        """The object is gone, perhaps by force: whatever still runs of it dies now."""
        runner, task = self._pods.pop(uid, None), self._tasks.pop(uid, None)
        if runner is None:
            return
        runner.kill()
        if task is not None:
            task.cancel()
        runner.forget()

    def _ended(self, runner: PodRunner, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            logger.error("pod %s: its runner failed", runner.name, exc_info=error)
            runner.kill()

    async def _register(self) -> None:
        name = self.host.name
        offered = self.host.gpus.num_offered
        node = registration.node_object(
            name, self._index, self._num_gpus, self._port, self.host.now(), num_offered=offered
        )
        while True:
            try:
                try:
                    created = await self.host.api.create("/api/v1/nodes", node)
                except ApiError as error:
                    if error.status != 409:
                        raise
                    created = await self.host.api.patch(f"/api/v1/nodes/{name}/status", {"status": node["status"]})
                self._uid = created["metadata"]["uid"]
                await self._renew()
                return
            except ApiError as error:
                logger.warning("node %s not registered: %s", name, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _renew(self) -> None:
        name = self.host.name
        try:
            path = f"{registration.LEASES}/{name}"
            await self.host.api.patch(path, {"spec": registration.renewal(self.host.now())})
        except ApiError as error:
            if error.status != 404:
                raise
            with contextlib.suppress(ApiError):
                await self.host.api.create(registration.LEASES, registration.lease(name, self._uid, self.host.now()))

    async def _beat_for_ever(self) -> None:
        # Spread over the period, so that the nodes do not all write in the same moment.
        await asyncio.sleep(LEASE_PERIOD * (self._index % 16) / 16)
        beats, was_unheard = 0, False
        while True:
            try:
                await self._renew()
                beats += 1
                if was_unheard:
                    # Meanwhile the node may have been taken for lost; only its own word makes it ready again.
                    await self._report_ready()
                    was_unheard = False
                elif beats % STATUS_LEASES == 0:
                    await self._report_status()
                await asyncio.sleep(LEASE_PERIOD)
            except ApiError as error:
                was_unheard = True
                logger.warning("node %s: lease not renewed: %s", self.host.name, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _report_ready(self) -> None:
        status = registration.node_status(self.host.name, self._num_gpus, self._port, self.host.now())
        conditions = {"conditions": status["conditions"]}
        await self.host.api.patch(f"/api/v1/nodes/{self.host.name}/status", {"status": conditions})

    async def _report_status(self) -> None:
        status = registration.node_status(self.host.name, self._num_gpus, self._port, self.host.now())
        beats = [{key: one[key] for key in ("type", "status", "lastHeartbeatTime")} for one in status["conditions"]]
        await self.host.api.patch(f"/api/v1/nodes/{self.host.name}/status", {"status": {"conditions": beats}})
