"""Which pods are bound to which node, from the one watch that all nodes share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from moe_local.nodes.agent import NodeAgent

Json = dict[str, Any]

BOUND = "spec.nodeName!="
PODS = "/api/v1/pods"


class PodDirectory:
    """Passes each node what concerns it."""

    def __init__(self, agents: Mapping[str, NodeAgent]) -> None:
        self._agents = agents
        self._pods: dict[str, dict[str, Json]] = defaultdict(dict)

    def of(self, node: str) -> list[Json]:
        """The pods that are bound to a node."""
        return list(self._pods[node].values())

    def replace(self, pods: list[Json]) -> None:
        """All bound pods there are."""
        self._pods.clear()
        for pod in pods:
            self._pods[pod["spec"]["nodeName"]][pod["metadata"]["uid"]] = _lean(pod)
        for name, agent in self._agents.items():
            agent.replace(self.of(name))

    def change(self, kind: str, pod: Json) -> None:
        """One watch event."""
        node, uid = pod["spec"]["nodeName"], pod["metadata"]["uid"]
        if kind == "DELETED":
            self._pods[node].pop(uid, None)
        else:
            self._pods[node][uid] = _lean(pod)
        if node in self._agents:
            self._agents[node].change(kind, pod)


def _lean(pod: Json) -> Json:
    pod["metadata"].pop("managedFields", None)
    return pod
