"""From a layout that runs to one for other experts, layers or nodes: what can stay where it is stays, the rest is told.

A GPU is the same GPU when it is on the same node in the same place; ranks may get other numbers. Balance in numbers is
kept, balance by load is left to rebalance(), so that nothing moves that need not.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from moe_planner.copies import wanted_copies
from moe_planner.filling import fill
from moe_planner.inputs import Constraints, Hardware, Loads
from moe_planner.layout import Layout, StageLayout
from moe_planner.loads import Rates, expert_rates
from moe_planner.model import ModelShape
from moe_planner.packing import Packing, packing_of, spots_of, weigh
from moe_planner.placement import empty_stages, place
from moe_planner.result import Degrees
from moe_planner.spans import nearest_spans
from moe_planner.sparing import worthwhile
from moe_planner.topology import grown_nodes, racks_of, seats_by_gpu

Gpu = tuple[str, int]
"""A node, and the number of one of its GPUs."""


@dataclass(frozen=True, kw_only=True)
class ExpertLoad:
    """An expert that a GPU has to load. `from_gpu` has it so far; None when no GPU does.

    `num_bytes` are those it takes in memory: of a checkpoint that packs experts and is held unpacked, fewer are read.
    """

    layer: int
    expert: int
    rank: int
    to_gpu: Gpu
    from_gpu: Gpu | None
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class LayerLoad:
    """A layer whose attention, router, shared or dense weights a GPU has to load."""

    layer: int
    rank: int
    to_gpu: Gpu
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class Growth:
    """The new layouts, one per replica, and all that has to be loaded for the first, which grew out of the old one."""

    layouts: tuple[Layout, ...]
    experts: tuple[ExpertLoad, ...]
    layers: tuple[LayerLoad, ...]

    @property
    def num_bytes(self) -> int:
        return sum(load.num_bytes for load in self.experts) + sum(load.num_bytes for load in self.layers)


def grow(
    shape: ModelShape,
    current: Layout,
    hardware: Hardware,
    degrees: Degrees,
    constraints: Constraints,
    loads: Loads = Loads(),
    *,
    batch: int = 1,
) -> Growth:
    """The layout of these degrees that keeps the most of `current`, and what its GPUs load.

    Raises PlanError where the good GPUs do not suffice.
    """
    spans = nearest_spans([(s.first_layer, s.num_layers) for s in current.stages], shape.layers, degrees.pipeline)
    nodes = grown_nodes(hardware, degrees, _kept_by_node(current, hardware, spans))
    rates, racks = expert_rates(shape, loads), racks_of(hardware)
    resident = _residents(current, hardware)
    empty = empty_stages(shape, degrees, nodes, hardware.gpus_per_node, spans)
    first = Layout(stages=empty, experts_per_layer=shape.experts, gpus_per_seat=degrees.gpus_per_seat)
    seats = _gpus_by_rank(first, hardware)
    stages = tuple(_grown(stage, seats, resident, constraints, rates, racks, batch) for stage in empty)
    first = replace(first, stages=stages)
    others = _other_replicas(shape, hardware, degrees, constraints, loads, batch, nodes)
    return growth_between(shape, current, (first, *others), hardware)


def growth_between(shape: ModelShape, current: Layout, layouts: tuple[Layout, ...], hardware: Hardware) -> Growth:
    """What the GPUs of the first of these layouts have to load where `current` runs."""
    first = layouts[0]
    seats = _gpus_by_rank(first, hardware)
    return Growth(
        layouts=layouts,
        experts=_expert_loads(shape, first, seats, _residents(current, hardware)),
        layers=_layer_loads(shape, first, seats, current, hardware),
    )


Residents = Mapping[tuple[int, int], tuple[Gpu, ...]]
"""(layer, expert of the layer) -> the GPUs that hold it, preferred first."""


def _residents(current: Layout, hardware: Hardware) -> dict[tuple[int, int], tuple[Gpu, ...]]:
    gpus = _gpus_by_rank(current, hardware)
    return {
        divmod(expert, current.experts_per_layer): tuple(
            gpus[copy.rank] for copy in stage.copies_of(expert) if copy.rank in gpus
        )
        for stage in current.stages
        for expert in stage.experts
    }


def _kept_by_node(current: Layout, hardware: Hardware, spans: Sequence[int]) -> list[dict[str, int]]:
    """For each new stage, how much of it each node has so far: experts, and a little for its layers' other weights."""
    by_layer: dict[int, Counter[str]] = {}
    for stage in current.stages:
        for seat in stage.seats:
            node = seat.node or ""
            for expert in stage.held(seat.rank):
                by_layer.setdefault(expert // current.experts_per_layer, Counter())[node] += 2
            for layer in range(stage.first_layer, stage.first_layer + stage.num_layers):
                by_layer.setdefault(layer, Counter())[node] += 1
    kept, first = [], 0
    known = frozenset(hardware.node_names)
    for layers in spans:
        found: Counter[str] = Counter()
        for layer in range(first, first + layers):
            found.update(by_layer.get(layer, Counter()))
        kept.append({node: number for node, number in found.items() if node in known})
        first += layers
    return kept


def _gpus_by_rank(layout: Layout, hardware: Hardware) -> dict[int, Gpu]:
    """The first GPU of each rank's seat."""
    found: dict[int, Gpu] = {}
    for gpu, (_, _, rank) in seats_by_gpu([layout], hardware).items():
        found.setdefault(rank, gpu)
    return found


def _grown(
    stage: StageLayout,
    gpus: Mapping[int, Gpu],
    resident: Residents,
    constraints: Constraints,
    rates: Rates,
    racks: Mapping[str, str],
    batch: int,
) -> StageLayout:
    if not stage.experts:
        return stage
    wanted = wanted_copies(stage.experts, len(stage.ranks), constraints, rates)
    spots = spots_of(stage, racks)
    weights = weigh(wanted, rates, ranks=len(spots), batch=batch)
    packing = packing_of(stage, weights, spots, -(-sum(wanted.values()) // len(spots)))
    _keep(packing, stage, wanted, gpus, resident)
    fill(packing, wanted)
    least = wanted_copies(stage.experts, len(stage.ranks), replace(constraints, spare_copies=0), rates)
    return worthwhile(replace(stage, copies=packing.copies()), least, rates, batch=batch, racks=racks)


def _keep(
    packing: Packing, stage: StageLayout, wanted: Mapping[int, int], gpus: Mapping[int, Gpu], resident: Residents
) -> None:
    """What the ranks hold stays, as far as they may hold it. The experts with the fewest holders choose first."""
    ranks = {gpus[rank]: rank for rank in stage.ranks}
    holders = {
        expert: [ranks[gpu] for gpu in resident.get(divmod(expert, stage.experts_per_layer), ()) if gpu in ranks]
        for expert in wanted
    }
    for expert in sorted(wanted, key=lambda one: (len(holders[one]) - wanted[one], one)):
        for rank in holders[expert]:
            if packing.is_open(rank) and len(packing.hosts[expert]) < wanted[expert]:
                packing.add(expert, rank)


def _expert_loads(
    shape: ModelShape, layout: Layout, gpus: Mapping[int, Gpu], resident: Residents
) -> tuple[ExpertLoad, ...]:
    loads = []
    for copy in (copy for stage in layout.stages for copy in stage.copies):
        layer, index = divmod(copy.expert, shape.experts)
        had_by = resident.get((layer, index), ())
        if gpus[copy.rank] not in had_by:
            load = ExpertLoad(
                layer=layer,
                expert=index,
                rank=copy.rank,
                to_gpu=gpus[copy.rank],
                from_gpu=next(iter(had_by), None),
                num_bytes=shape.expert_bytes,
            )
            loads.append(load)
    return tuple(loads)


def _layer_loads(
    shape: ModelShape, layout: Layout, gpus: Mapping[int, Gpu], current: Layout, hardware: Hardware
) -> tuple[LayerLoad, ...]:
    spans = [range(stage.first_layer, stage.first_layer + stage.num_layers) for stage in current.stages]
    had = {gpu: spans[stage] for gpu, (_, stage, _) in seats_by_gpu([current], hardware).items()}
    return tuple(
        LayerLoad(layer=layer, rank=rank, to_gpu=gpus[rank], num_bytes=shape.attention_bytes_of(layer))
        for stage in layout.stages
        for rank in stage.ranks
        for layer in range(stage.first_layer, stage.first_layer + stage.num_layers)
        if layer not in had.get(gpus[rank], range(0))
    )


def _other_replicas(
    shape: ModelShape,
    hardware: Hardware,
    degrees: Degrees,
    constraints: Constraints,
    loads: Loads,
    batch: int,
    taken: Sequence[Sequence[str]],
) -> tuple[Layout, ...]:
    """Replicas beside the grown one, on nodes that it leaves."""
    if degrees.data == 1:
        return ()
    used = Counter(node for nodes in taken for node in nodes)
    others = replace(degrees, data=degrees.data - 1)
    return place(shape, hardware, others, constraints, loads, batch=batch, taken=used)
