"""Which nodes the pods of each stage go to: near where they talk, where enough GPUs are good. Knows no experts.

A stage stands in the narrowest domain that holds it (node, rack, zone), a replica likewise, and stages that follow each
other are as near as that allows. Without labels the nodes are filled in their order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from moe_planner.errors import PlanError
from moe_planner.inputs import Hardware, NodePlace
from moe_planner.layout import Layout
from moe_planner.result import Degrees


@dataclass(frozen=True, kw_only=True)
class StageNodes:
    """Nodes for the pods of one stage. `width`: 0 in one rack, 1 in one zone, 2 over zones. `order`: near is near."""

    nodes: tuple[str, ...]
    width: int
    order: int
    zone: str
    rack: str


def gpus_per_pod(gpus_per_stage: int, gpus_per_node: int) -> int:
    """A pod takes a whole node, or the whole stage where that is smaller; stages never share a pod."""
    return min(gpus_per_stage, gpus_per_node)


def choose_nodes(
    hardware: Hardware, degrees: Degrees, taken: Mapping[str, int] | None = None
) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """By replica, stage and pod, the pod's node. Raises PlanError when the nodes run out.

    `taken`: pods of this size that nodes have already.
    """
    size = gpus_per_pod(degrees.gpus_per_stage, hardware.gpus_per_node)
    pods = {node: max(0, number - (taken or {}).get(node, 0)) for node, number in _pods_of(hardware, size).items()}
    free = _stage_nodes(hardware, pods, degrees.gpus_per_stage // size)
    replicas = []
    for _ in range(degrees.data):
        if len(free) < degrees.pipeline:
            raise _too_few(hardware, degrees, size)
        chosen = _one_replica(free, degrees.pipeline)
        free = [one for one in free if one not in chosen]
        replicas.append(tuple(one.nodes for one in chosen))
    return tuple(replicas)


def grown_nodes(hardware: Hardware, degrees: Degrees, kept: Sequence[Mapping[str, int]]) -> tuple[tuple[str, ...], ...]:
    """By stage and pod, the pod's node for one replica: those that have most of a stage stay with it.

    `kept`: for each stage, how much of it a node has. The others come from the rack that the stage is in, else from its
    zone, else in order. Raises PlanError when the nodes run out.
    """
    size = gpus_per_pod(degrees.gpus_per_stage, hardware.gpus_per_node)
    pods_per_stage, room = degrees.gpus_per_stage // size, _pods_of(hardware, size)
    order = {node: index for index, node in enumerate(hardware.node_names)}
    chosen: list[list[str]] = [[] for _ in kept]
    claims = [(-number, stage, order[node], node) for stage, nodes in enumerate(kept) for node, number in nodes.items()]
    for _, stage, _, node in sorted(claims):
        if len(chosen[stage]) < pods_per_stage and room[node] > 0 and node not in chosen[stage]:
            chosen[stage].append(node)
            room[node] -= 1
    places = dict(_places(hardware))
    for stage, nodes in enumerate(chosen):
        nodes.sort(key=order.__getitem__)
        while len(nodes) < pods_per_stage:
            free = [node for node in order if room[node] > 0]
            if not free:
                raise _too_few(hardware, degrees, size)
            near = nodes or chosen[stage - 1]
            nodes.append(min(free, key=lambda node: (_distance(places, node, near), order[node])))
            room[nodes[-1]] -= 1
    return tuple(tuple(nodes) for nodes in chosen)


def racks_of(hardware: Hardware) -> dict[str, str]:
    """Node -> its zone and rack in one word, "" where nobody said."""
    return {node: place.rack_in_zone for node, place in _places(hardware)}


def topology_notes(hardware: Hardware, layouts: tuple[Layout, ...]) -> tuple[str, ...]:
    """What the placement could not do, in sentences: nodes used in part or not at all, stages wider than a rack."""
    return (*_bad_gpu_notes(hardware, layouts), *_wide_stage_notes(hardware, layouts))


def bad_gpus_of(hardware: Hardware, node: str) -> tuple[int, ...]:
    """Indices of the node's bad GPUs, those that it has."""
    return tuple(sorted(gpu for name, gpu in hardware.bad_gpus if name == node and 0 <= gpu < hardware.gpus_per_node))


def seats_by_gpu(layouts: Sequence[Layout], hardware: Hardware) -> dict[tuple[str, int], tuple[int, int, int]]:
    """(node, GPU) -> (replica, stage, rank). A node's good GPUs are given to its pods in their order.

    A seat of several GPUs is found under each of them.
    """
    good = {
        node: iter(sorted({*range(hardware.gpus_per_node)} - {*bad_gpus_of(hardware, node)}))
        for node in hardware.node_names
    }
    found = {}
    for replica, layout in enumerate(layouts):
        for stage in layout.stages:
            width = layout.gpus_per_seat
            for seat in stage.seats:
                for _ in range(width if seat.node in good else 0):
                    found[seat.node or "", next(good[seat.node or ""])] = (replica, stage.stage, seat.rank)
    return found


def _places(hardware: Hardware) -> Iterator[tuple[str, NodePlace]]:
    names = hardware.node_names
    places = hardware.places or (NodePlace(),) * len(names)
    return zip(names, places, strict=False)


def _distance(places: Mapping[str, NodePlace], node: str, others: Sequence[str]) -> int:
    """0 in the rack of one of the others, 1 in its zone, else 2."""
    here = places[node]
    there = [places[other] for other in others]
    if here in there:
        return 0
    return 1 if here.zone in {place.zone for place in there} else 2


def _pods_of(hardware: Hardware, size: int) -> dict[str, int]:
    """How many pods of that size each node holds."""
    bad: dict[str, int] = {}
    for node, gpu in hardware.bad_gpus:
        bad[node] = bad.get(node, 0) + (0 <= gpu < hardware.gpus_per_node)
    return {node: (hardware.gpus_per_node - bad.get(node, 0)) // size for node in hardware.node_names}


def _stage_nodes(hardware: Hardware, pods: dict[str, int], pods_per_stage: int) -> list[StageNodes]:
    """Every stage that the nodes hold: as many as can be within a rack, of the rest within a zone, then over zones."""
    zones: dict[str, dict[str, list[str]]] = {}
    for node, place in _places(hardware):
        zones.setdefault(place.zone, {}).setdefault(place.rack, []).extend([node] * pods.get(node, 0))
    found: list[StageNodes] = []
    left_over: list[str] = []
    for zone, racks in zones.items():
        left_in_zone: list[str] = []
        for rack, nodes in racks.items():
            left_in_zone += _cut(nodes, pods_per_stage, found, width=0, zone=zone, rack=rack)
        left_over += _cut(left_in_zone, pods_per_stage, found, width=1, zone=zone, rack="")
    _cut(left_over, pods_per_stage, found, width=2, zone="", rack="")
    return found


def _cut(
    nodes: list[str], pods_per_stage: int, found: list[StageNodes], *, width: int, zone: str, rack: str
) -> list[str]:
    """Appends the stages that the nodes hold, and returns the nodes that are left."""
    whole = len(nodes) // pods_per_stage * pods_per_stage
    for first in range(0, whole, pods_per_stage):
        names = tuple(nodes[first : first + pods_per_stage])
        found.append(StageNodes(nodes=names, width=width, order=len(found), zone=zone, rack=rack))
    return nodes[whole:]


def _one_replica(free: list[StageNodes], stages: int) -> list[StageNodes]:
    """The first rack or zone that holds all stages, else all nodes; narrow stages before wide ones, then in order."""
    racks = dict.fromkeys((one.zone, one.rack) for one in free if one.width == 0)
    zones = dict.fromkeys(one.zone for one in free if one.width <= 1)
    pools = [
        *([one for one in free if one.width == 0 and (one.zone, one.rack) == rack] for rack in racks),
        *([one for one in free if one.width <= 1 and one.zone == zone] for zone in zones),
        free,
    ]
    pool = next(pool for pool in pools if len(pool) >= stages)
    narrowest = islice(sorted(pool, key=lambda one: (one.width, one.order)), stages)
    return sorted(narrowest, key=lambda one: one.order)


def _too_few(hardware: Hardware, degrees: Degrees, size: int) -> PlanError:
    bad = len(hardware.bad_gpus)
    return PlanError(
        "hardware.nodes",
        hardware.num_nodes,
        f"{degrees.data} x {degrees.pipeline} stages of {degrees.gpus_per_stage} GPUs in pods of {size} do not fit "
        f"{hardware.num_nodes} nodes of {hardware.gpus_per_node} GPUs, {bad} of them bad: a pod stays on one node",
        "add nodes, repair the bad GPUs, or use fewer stages or replicas",
    )


def _bad_gpu_notes(hardware: Hardware, layouts: tuple[Layout, ...]) -> Iterator[str]:
    used: dict[str, int] = {}
    for layout in layouts:
        for stage in layout.stages:
            for seat in stage.seats:
                used[seat.node or ""] = used.get(seat.node or "", 0) + 1
    for node in sorted({node for node, _ in hardware.bad_gpus}):
        bad = bad_gpus_of(hardware, node)
        if bad and node in hardware.node_names:
            which = f"{node} has {len(bad)} bad GPU{'s' if len(bad) > 1 else ''} ({', '.join(map(str, bad))})"
            seats = f"{used[node]} ranks are on its others" if node in used else "nothing is placed on it"
            yield f"{which} of {hardware.gpus_per_node}: {seats}"


def _wide_stage_notes(hardware: Hardware, layouts: tuple[Layout, ...]) -> Iterator[str]:
    places = {node: place for node, place in _places(hardware) if place.rack or place.zone}
    for replica, layout in enumerate(layouts):
        for stage in layout.stages:
            nodes = dict.fromkeys(seat.node or "" for seat in stage.seats)
            racks = dict.fromkeys(f"{places[node].zone}/{places[node].rack}" for node in nodes if node in places)
            if len(racks) > 1:
                words = ", ".join(rack.strip("/") for rack in racks)
                yield f"replica {replica} stage {stage.stage} stands in {len(racks)} racks ({words}): none has room"
