"""The GPUs of one node as its device plugin sees them: which are free, who has which, how they are.

An allocation is kept on disk, so that a pod gets the same GPUs back after the node was off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moe_local.errors import StartError
from moe_local.state import write_atomically

RESOURCE = "nvidia.com/gpu"
HEALTHY = "healthy"


class Gpus:
    """The GPUs 0 .. count-1 of a node, with one health file each."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder / "gpus"
        self.withdrawn: set[int] = set()
        """GPUs that the device plugin does not offer any more."""
        self.unhealthy: set[int] = set()
        """GPUs that are told to be unhealthy to the pods that have them."""
        self._node = folder.name
        self._count = count
        self._checkpoint = folder / "allocations.json"
        self._taken: dict[str, list[int]] = {}

    def open(self) -> None:
        """Makes the health files that are missing and reads the allocations."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for index in range(self._count):
            if not self.file(index).exists():
                self.file(index).write_text(HEALTHY)
        if self._checkpoint.exists():
            self._taken = json.loads(self._checkpoint.read_text())

    def file(self, index: int) -> Path:
        """The health file of a GPU, which its driver locks."""
        return self.folder / str(index)

    @property
    def num_offered(self) -> int:
        """What the node has allocatable."""
        return self._count - len(self.withdrawn)

    def allocate(self, pod: str, container: str, count: int) -> list[int]:
        """The GPUs of a container: those it has, else the lowest free ones; raises StartError when too few are."""
        owner = f"{pod}/{container}"
        if owner in self._taken:
            return self._taken[owner]
        used = {index for indices in self._taken.values() for index in indices}
        free = [index for index in range(self._count) if index not in used | self.withdrawn]
        if len(free) < count:
            raise StartError("UnexpectedAdmissionError", f"{RESOURCE}: requested {count}, available {len(free)}")
        self._taken[owner] = free[:count]
        self._save()
        return self._taken[owner]

    def release(self, pod: str) -> None:
        """Frees everything a pod has."""
        kept = {owner: indices for owner, indices in self._taken.items() if not owner.startswith(f"{pod}/")}
        if kept != self._taken:
            self._taken = kept
            self._save()

    def retain(self, pods: set[str]) -> None:
        """Frees what pods have that are no more."""
        for owner in list(self._taken):
            if owner.partition("/")[0] not in pods:
                self.release(owner.partition("/")[0])

    def statuses(self, pod: str, container: str) -> dict[str, Any]:
        """The health of a container's GPUs as the kubelet tells it (KEP-4680); empty where it has none."""
        indices = self._taken.get(f"{pod}/{container}")
        if not indices:
            return {}
        words = {index: "Unhealthy" if index in self.unhealthy else "Healthy" for index in indices}
        resources = [{"resourceID": f"{self._node}/{index}", "health": words[index]} for index in indices]
        return {"name": RESOURCE, "resources": resources}

    def environment(self, indices: list[int]) -> Mapping[str, str]:
        """What the device plugin gives a container that has these GPUs."""
        return {
            "NVIDIA_VISIBLE_DEVICES": ",".join(map(str, indices)),
            "MOE_CPU_DEVICES": ",".join(str(self.file(index)) for index in indices),
        }

    def _save(self) -> None:
        write_atomically(self._checkpoint, json.dumps(self._taken).encode())
