"""Which nodes the plan may name, in the order in which it fills them, where they stand, and what it is made with."""

from __future__ import annotations

import re
from collections.abc import Iterable

from moe_api.deployment import MoEDeploymentSpec
from moe_api.hardware import HardwareSpec
from moe_api.planning import PlannerInputs, planner_inputs
from moe_operator.snapshot import Node
from moe_planner.gpu_types import only_gpu_type
from moe_planner.inputs import NodePlace

ZONE_LABEL = "topology.kubernetes.io/zone"
GPU_LABELS = ("nvidia.com/gpu.product", "amd.com/gpu.product-name")
"""As the vendors' feature discovery writes them."""


def inputs_on(nodes: Iterable[Node], spec: MoEDeploymentSpec) -> PlannerInputs:
    """What to plan with on the nodes that fit; on as many as are asked for while there are not enough yet.

    Raises moe_planner.errors.PlanError.
    """
    fitting = plan_nodes(nodes, spec.hardware)
    if fitting is None:
        return planner_inputs(spec)
    only_gpu_type(gpu_types_of(fitting))
    return planner_inputs(spec, [node.name for node in fitting], places_of(fitting, spec.hardware))


def plan_nodes(nodes: Iterable[Node], hardware: HardwareSpec) -> tuple[Node, ...] | None:
    """The nodes that fit, node-2 before node-10; None while there are fewer than the plan needs."""
    fitting = sorted((node for node in nodes if _fits(node, hardware)), key=lambda node: _natural(node.name))
    return tuple(fitting[: hardware.nodes]) if len(fitting) >= hardware.nodes else None


def places_of(nodes: Iterable[Node], hardware: HardwareSpec) -> tuple[NodePlace, ...]:
    """Rack and zone of each node by its labels; nothing where no node has any."""
    places = tuple(
        NodePlace(rack=node.labels.get(hardware.rack_label or "", ""), zone=node.labels.get(ZONE_LABEL, ""))
        for node in nodes
    )
    return places if any(place != NodePlace() for place in places) else ()


def racks_of(nodes: Iterable[Node], hardware: HardwareSpec) -> dict[str, str]:
    """Node -> its zone and rack in one word, "" where nobody said; of every node there is, planned for or not."""
    known = tuple(nodes)
    places = places_of(known, hardware) or (NodePlace(),) * len(known)
    return {node.name: place.rack_in_zone for node, place in zip(known, places, strict=True)}


def gpu_types_of(nodes: Iterable[Node]) -> dict[str, str]:
    """What each node's labels call its GPUs, "" where they say nothing."""
    return {node.name: next((node.labels[key] for key in GPU_LABELS if key in node.labels), "") for node in nodes}


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
