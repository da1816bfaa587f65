"""Shows bad GPUs of one node where others than the worker show them: on the Node, and in its pods' status."""

from __future__ import annotations

from collections.abc import Callable

from moe_local.nodes import signs
from moe_local.nodes.gpus import RESOURCE
from moe_local.nodes.host import Host
from moe_local.nodes.signs import Sign


class Watchdog:
    """Plays node-problem-detector or NVSentinel, and the device plugin. What it knows ends with the daemon."""

    def __init__(self, host: Host, statuses_changed: Callable[[], None]) -> None:
        self._host = host
        self._statuses_changed = statuses_changed
        self._path = f"/api/v1/nodes/{host.name}"
        self._bad: dict[Sign, set[int]] = {sign: set() for sign in (Sign.CONDITION, Sign.TAINT)}

    async def report(self, index: int, sign: Sign) -> None:
        """Shows this GPU as bad in one of the places."""
        await self._show(sign, self._shown(sign) | {index})

    async def clear(self, index: int) -> None:
        """Shows this GPU as good wherever it was shown as bad."""
        for sign in Sign:
            if index in self._shown(sign):
                await self._show(sign, self._shown(sign) - {index})

    def _shown(self, sign: Sign) -> set[int]:
        gpus = self._host.gpus
        return {Sign.ALLOCATABLE: gpus.withdrawn, Sign.RESOURCE: gpus.unhealthy, **self._bad}[sign]

    async def _show(self, sign: Sign, bad: set[int]) -> None:
        if sign is Sign.CONDITION:
            status = {"conditions": [signs.condition(sorted(bad), self._host.now())]}
            await self._host.api.patch(f"{self._path}/status", {"status": status})
            self._bad[sign] = bad
        elif sign is Sign.TAINT:
            await self._taint(bad)
            self._bad[sign] = bad
        elif sign is Sign.ALLOCATABLE:
            self._host.gpus.withdrawn = bad
            allocatable = {RESOURCE: str(self._host.gpus.num_offered)}
            await self._host.api.patch(f"{self._path}/status", {"status": {"allocatable": allocatable}})
        else:
            self._host.gpus.unhealthy = bad
            self._statuses_changed()

    async def _taint(self, bad: set[int]) -> None:
        node = await self._host.api.get(self._path)
        taints = signs.tainted(node["spec"].get("taints") or [], sorted(bad))
        # The version is named, as controllers write taints too and the list is replaced as a whole.
        version = {"resourceVersion": node["metadata"]["resourceVersion"]}
        await self._host.api.patch(self._path, {"metadata": version, "spec": {"taints": taints}})
