"""Degrees -> layouts: which rank sits where and hosts what. No choices are left to make here."""

from collections.abc import Iterator

from moe_planner.inputs import Hardware
from moe_planner.layout import Copy, LaneSeat, Layout, Seat, StageLayout
from moe_planner.memory import layers_of_stages
from moe_planner.model import ModelShape
from moe_planner.result import Degrees


def gpus_per_pod(ranks_per_stage: int, gpus_per_node: int) -> int:
    """A pod takes a whole node, or the whole stage where that is smaller; stages never share a pod."""
    return min(ranks_per_stage, gpus_per_node)


def nodes_needed(degrees: Degrees, gpus_per_node: int) -> int:
    size = gpus_per_pod(degrees.expert, gpus_per_node)
    pods = degrees.num_ranks // size
    return -(-pods // (gpus_per_node // size))


def place(shape: ModelShape, hardware: Hardware, degrees: Degrees, copies: int) -> tuple[Layout, ...]:
    """One layout per replica. Pods fill the nodes in order: replica, stage, pod."""
    size = gpus_per_pod(degrees.expert, hardware.gpus_per_node)
    nodes = _pod_nodes(hardware, size)
    return tuple(_replica(shape, degrees, copies, size, nodes) for _ in range(degrees.data))


def _pod_nodes(hardware: Hardware, size: int) -> Iterator[str]:
    for node in hardware.node_names:
        for _ in range(hardware.gpus_per_node // size):
            yield node


def _replica(shape: ModelShape, degrees: Degrees, copies: int, size: int, nodes: Iterator[str]) -> Layout:
    stages = []
    first_layer = 0
    for stage, layers in enumerate(layers_of_stages(shape.layers, degrees.pipeline)):
        pod_nodes = [next(nodes) for _ in range(degrees.expert // size)]
        stages.append(_stage(shape, degrees, copies, size, pod_nodes, stage=stage, span=(first_layer, layers)))
        first_layer += layers
    return Layout(stages=tuple(stages), experts_per_layer=shape.experts)


def _stage(
    shape: ModelShape,
    degrees: Degrees,
    copies: int,
    size: int,
    pod_nodes: list[str],
    *,
    stage: int,
    span: tuple[int, int],
) -> StageLayout:
    first_rank = stage * degrees.expert
    ranks = range(first_rank, first_rank + degrees.expert)
    return StageLayout(
        stage=stage,
        first_layer=span[0],
        num_layers=span[1],
        experts_per_layer=shape.experts,
        seats=tuple(
            Seat(rank=rank, pod=index // size, gpu=index % size, node=pod_nodes[index // size])
            for index, rank in enumerate(ranks)
        ),
        copies=_place_copies(shape.experts, span, ranks, size, copies),
        lanes=tuple(LaneSeat(lane=lane, rank=rank) for lane, rank in enumerate(ranks)),
    )


def _place_copies(experts: int, span: tuple[int, int], ranks: range, size: int, copies: int) -> tuple[Copy, ...]:
    first_layer, layers = span
    first_expert = first_layer * experts
    return tuple(
        Copy(expert=first_expert + index, rank=ranks[_other_host(host, copy, len(ranks), size)])
        for index in range(layers * experts)
        for host in (_first_host(index, experts, len(ranks)),)
        for copy in range(copies)
    )


def _first_host(index: int, experts: int, num_ranks: int) -> int:
    """Position of the rank that hosts the stage's index-th expert.

    Every layer is spread over all ranks: in contiguous blocks where they divide, else one after the other, so that no
    two ranks differ by more than one expert. With as many ranks as experts it is one each, in order.
    """
    if experts % num_ranks == 0:
        return index % experts // (experts // num_ranks)
    return index % num_ranks


def _other_host(host: int, copy: int, num_ranks: int, size: int) -> int:
    """Position of the copy-th host: on the next pod first, then on the next GPU; all different."""
    pods = num_ranks // size
    pod = (host // size + copy) % pods
    gpu = (host % size + copy // pods) % size
    return pod * size + gpu
