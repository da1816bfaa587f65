"""Which events of nodes are news. Kubelets write a node's status every few minutes; hardly anything in it matters here.

Knows what was last seen of each node, and forgets nothing else than nodes that are gone.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

# What a kubelet says of a node's own health: a node that is not ready, or under pressure, loses no pod by that alone.
KUBELET_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


class NodeNews:
    """Compares every node with what it was."""

    def __init__(self) -> None:
        self._known: dict[str, Hashable] = {}

    def is_news(self, event_type: str | None, node: Mapping[str, Any]) -> bool:
        """Whether the event can change what a stage does: a cordon, a taint, a condition, GPUs that come or go."""
        name, facts = node["metadata"]["name"], _facts(node)
        if event_type == "DELETED":
            self._known.pop(name, None)
            return True
        is_same = self._known.get(name) == facts
        self._known[name] = facts
        return not is_same


def _facts(node: Mapping[str, Any]) -> Hashable:
    spec, status = node.get("spec", {}), node.get("status", {})
    taints = sorted((taint["key"], taint.get("value") or "") for taint in spec.get("taints") or ())
    conditions = sorted(
        (one["type"], one.get("message") or "")
        for one in status.get("conditions") or ()
        if one["status"] == "True" and one["type"] not in KUBELET_CONDITIONS
    )
    allocatable = sorted((status.get("allocatable") or {}).items())
    return bool(spec.get("unschedulable")), tuple(taints), tuple(conditions), tuple(allocatable)
