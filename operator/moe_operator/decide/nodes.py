"""Which nodes the plan may name, in the order in which it fills them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from moe_api.deployment import HardwareSpec
from moe_operator.snapshot import Node


def plan_nodes(nodes: Iterable[Node], hardware: HardwareSpec) -> tuple[str, ...] | None:
    """Names of the nodes that fit, node-2 before node-10; None while there are fewer than the plan needs."""
    fitting = sorted((node.name for node in nodes if _fits(node, hardware)), key=_natural)
    return tuple(fitting[: hardware.nodes]) if len(fitting) >= hardware.nodes else None


def _fits(node: Node, hardware: HardwareSpec) -> bool:
    gpus = node.allocatable.get(hardware.resource_name, "0")
    return (
        node.is_ready
        and not node.is_unschedulable
        and not node.is_out_of_service
        and gpus.isdigit()
        and int(gpus) >= hardware.gpus_per_node
        and hardware.node_selector.items() <= dict(node.labels).items()
    )


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
