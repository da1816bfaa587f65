"""What the zygote is told for one run of a container: command, environment, mounts, GPUs, log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from moe_local.container import NICE, Order
from moe_local.errors import ApiError, StartError
from moe_local.nodes import environment
from moe_local.nodes.gpus import RESOURCE
from moe_local.nodes.host import Host
from moe_local.nodes.volumes import Volumes

Json = dict[str, Any]


class Orders:
    """Makes the orders of one pod's containers."""

    def __init__(
        self, host: Host, metadata: Json, folder: Path, volumes: Volumes, facts: Callable[[], environment.Facts]
    ) -> None:
        self._host = host
        self._uid: str = metadata["uid"]
        self._name: str = metadata["name"]
        self._objects = f"/api/v1/namespaces/{metadata['namespace']}"
        self._folder = folder
        self._volumes = volumes
        self._facts = facts

    async def make(self, container: Json, attempt: int) -> Order:
        """The order for the run with this number; raises StartError for what the spec lacks."""
        argv = [*(container.get("command") or []), *(container.get("args") or [])]
        if not argv:
            raise StartError(
                "CreateContainerError",
                "no command: images are not pulled here, so their entry points are unknown; set `command`",
            )
        home = self._folder / container["name"]
        root = home / "root"
        root.mkdir(parents=True, exist_ok=True)
        variables = await self._variables(container, home)
        return Order(
            argv=tuple(environment.expand(word, variables) for word in argv),
            env=variables,
            cwd=container.get("workingDir") or str(home),
            log=str(self.log(container["name"], attempt)),
            root=str(root),
            mounts=tuple(self._volumes.mounts(container, variables)),
            niceness=0 if environment.requests_processor(container) else NICE,
        )

    def log(self, container: str, attempt: int) -> Path:
        """The file with the output of one run."""
        return self._folder / container / f"{attempt}.log"

    async def _variables(self, container: Json, home: Path) -> dict[str, str]:
        objects = await self._read(environment.references(container))
        base = self._host.base_environment(self._name, home)
        limits = (container.get("resources") or {}).get("limits") or {}
        if count := int(limits.get(RESOURCE, "0")):
            base |= self._host.gpus.environment(self._host.gpus.allocate(self._uid, container["name"], count))
        return environment.resolve(container, base, self._facts(), lambda kind, name: objects.get((kind, name)))

    async def _read(self, references: set[tuple[str, str]]) -> dict[tuple[str, str], Json]:
        found = {}
        for kind, name in references:
            try:
                found[kind, name] = await self._host.api.get(f"{self._objects}/{kind}/{name}")
            except ApiError as error:
                if error.status != 404:
                    raise StartError("CreateContainerConfigError", str(error)) from error
        return found
