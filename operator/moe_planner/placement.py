"""Degrees -> layouts: which rank sits where and hosts what.

Without loads and extra copies a stage is regular, so that people can read it: experts in contiguous blocks, lane i at
rank i, further copies a whole number of pods away. With them each stage is packed for the least busy busiest rank.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from moe_planner.balance import worst_of_both
from moe_planner.copies import has_extra_copies, least_copies, wanted_copies
from moe_planner.filling import deal, fill
from moe_planner.inputs import Constraints, Hardware, Loads
from moe_planner.layout import Copy, LaneSeat, Layout, Seat, StageLayout
from moe_planner.loads import Rates, expert_rates, is_uniform
from moe_planner.model import ModelShape
from moe_planner.packing import Packing, packing_of, spots_of, weigh
from moe_planner.refining import refine
from moe_planner.result import Degrees
from moe_planner.sizes import layers_of_stages
from moe_planner.sparing import numbers_to_try, worthwhile
from moe_planner.topology import choose_nodes, gpus_per_pod, racks_of

# Refining a stage any further gains less than a percent; all stages together have to be placed in a second or two.
_REFINING_STEPS = 60
_SMALLEST_GAIN = 1e-3
"""What spare copies must take off the busiest rank, as a share of the mean rank."""


def place(
    shape: ModelShape,
    hardware: Hardware,
    degrees: Degrees,
    constraints: Constraints,
    loads: Loads = Loads(),
    *,
    batch: int = 1,
    taken: Mapping[str, int] | None = None,
) -> tuple[Layout, ...]:
    """One layout per replica. `batch` is the tokens of a decode step, `taken` the pods that nodes have already.

    Raises PlanError where the GPUs that are good do not suffice, and where loads or copies do not fit the model.
    """
    rates, racks = expert_rates(shape, loads), racks_of(hardware)
    first, *others = choose_nodes(hardware, degrees, taken)
    layout = Layout(
        stages=tuple(
            host_experts(empty, constraints, rates, racks=racks, batch=batch)
            for empty in empty_stages(shape, degrees, first, hardware.gpus_per_node)
        ),
        experts_per_layer=shape.experts,
        gpus_per_seat=degrees.gpus_per_seat,
    )
    return (layout, *(_replica(layout, nodes, constraints, rates, racks, batch) for nodes in others))


def empty_stages(
    shape: ModelShape,
    degrees: Degrees,
    nodes: Sequence[Sequence[str]],
    gpus_per_node: int,
    spans: Sequence[int] | None = None,
) -> tuple[StageLayout, ...]:
    """The stages of a replica with seats and lanes and no experts yet. `nodes` are those of each stage's pods.

    `spans` are the layers of each stage, where they are not simply as even as can be.
    """
    stages, first_layer = [], 0
    for stage, layers in enumerate(spans or layers_of_stages(shape.layers, degrees.pipeline)):
        seats = _seats(stage * degrees.expert, degrees, nodes[stage], gpus_per_node)
        last = first_layer + layers
        stages.append(
            StageLayout(
                stage=stage,
                first_layer=first_layer,
                num_layers=layers,
                experts_per_layer=shape.experts,
                seats=seats,
                copies=(),
                lanes=tuple(LaneSeat(lane=lane, rank=seat.rank) for lane, seat in enumerate(seats)),
                dense_layers=tuple(layer for layer in shape.dense_layers if first_layer <= layer < last),
            )
        )
        first_layer = last
    return tuple(stages)


def host_experts(
    stage: StageLayout, constraints: Constraints, rates: Rates, *, racks: dict[str, str], batch: int
) -> StageLayout:
    """The stage with every expert on as many ranks as it is to have copies, and spare ones where these relieve it."""
    if constraints.spare_copies:
        return _with_spares(stage, constraints, rates, racks=racks, batch=batch)
    here = {expert: rates[expert] for expert in stage.experts}
    regular = None
    if not has_extra_copies(constraints):
        regular = replace(stage, copies=_regular_copies(stage, least_copies(constraints), racks))
        if is_uniform(here):
            return regular
    wanted = wanted_copies(stage.experts, len(stage.ranks), constraints, rates)
    packed = replace(stage, copies=_packed(stage, wanted, rates, racks, batch).copies())
    if regular and worst_of_both(regular, rates, batch=batch) <= worst_of_both(packed, rates, batch=batch):
        return regular
    return packed


def _with_spares(
    stage: StageLayout, constraints: Constraints, rates: Rates, *, racks: dict[str, str], batch: int
) -> StageLayout:
    """With the spare copies that make the busiest rank less busy than it is without any; with none where none do."""
    without = replace(constraints, spare_copies=0)
    best = host_experts(stage, without, rates, racks=racks, batch=batch)
    least = wanted_copies(stage.experts, len(stage.ranks), without, rates)
    for number in numbers_to_try(constraints.spare_copies):
        wanted = wanted_copies(stage.experts, len(stage.ranks), replace(constraints, spare_copies=number), rates)
        packed = replace(stage, copies=_packed(stage, wanted, rates, racks, batch).copies())
        spared = worthwhile(packed, least, rates, batch=batch, racks=racks)
        if worst_of_both(best, rates, batch=batch) - worst_of_both(spared, rates, batch=batch) > _SMALLEST_GAIN:
            best = spared
    return best


def _replica(
    like: Layout,
    nodes: Sequence[Sequence[str]],
    constraints: Constraints,
    rates: Rates,
    racks: dict[str, str],
    batch: int,
) -> Layout:
    """The same layout on other nodes. Where these stand in racks otherwise, the copies are placed for them."""
    stages = tuple(_on_nodes(stage, names) for stage, names in zip(like.stages, nodes, strict=True))
    if any(racks.values()):
        stages = tuple(
            host_experts(replace(stage, copies=()), constraints, rates, racks=racks, batch=batch) for stage in stages
        )
    return replace(like, stages=stages)


def _on_nodes(stage: StageLayout, nodes: Sequence[str]) -> StageLayout:
    return replace(stage, seats=tuple(replace(seat, node=nodes[seat.pod]) for seat in stage.seats))


def _seats(first_rank: int, degrees: Degrees, nodes: Sequence[str], gpus_per_node: int) -> tuple[Seat, ...]:
    """A seat takes as many neighbouring GPUs of its pod as tensor and sequence ranks share it."""
    size = gpus_per_pod(degrees.gpus_per_stage, gpus_per_node) // degrees.gpus_per_seat
    return tuple(
        Seat(
            rank=first_rank + index,
            pod=index // size,
            gpu=index % size * degrees.gpus_per_seat,
            node=nodes[index // size],
        )
        for index in range(degrees.expert)
    )


def _packed(stage: StageLayout, wanted: dict[int, int], rates: Rates, racks: dict[str, str], batch: int) -> Packing:
    """The best of filling by weight; dealt out where that leaves an expert in one pod that need not be."""
    spots = spots_of(stage, racks)
    weights = weigh(wanted, rates, ranks=len(spots), batch=batch)
    most_held = -(-sum(wanted.values()) // len(spots))
    packing = packing_of(stage, weights, spots, most_held)
    fill(packing, wanted)
    if any(packing.is_concentrated(expert) for expert in wanted):
        packing = packing_of(stage, weights, spots, most_held)
        for expert, ranks in deal(wanted, spots).items():
            for rank in ranks:
                packing.add(expert, rank)
    refine(packing, steps=_REFINING_STEPS)
    return packing


def _regular_copies(stage: StageLayout, copies: int, racks: dict[str, str]) -> tuple[Copy, ...]:
    ranks, experts = stage.ranks, stage.experts_per_layer
    size = len(ranks) // len({seat.pod for seat in stage.seats})
    strides = _strides([racks.get(seat.node or "", "") for seat in stage.seats[::size]], copies)
    return tuple(
        Copy(expert=expert, rank=ranks[_other_host(host, copy, len(ranks), size, strides)])
        for index, expert in enumerate(stage.experts)
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


def _strides(racks: list[str], copies: int) -> list[int]:
    """How many pods further on each copy stands, by the pods' racks: in another rack first, else on the next pod."""
    if len(set(racks)) == 1:
        return list(range(len(racks)))
    strides = [0]
    while len(strides) < min(copies, len(racks)):
        rest = [stride for stride in range(len(racks)) if stride not in strides]
        strides.append(min(rest, key=lambda stride: (_same_rack(racks, stride, strides), stride)))
    return strides


def _same_rack(racks: list[str], stride: int, others: list[int]) -> int:
    """How often a copy so many pods further on would be in a rack that has a copy already."""
    pods = len(racks)
    return sum(racks[(p + stride) % pods] == racks[(p + other) % pods] for p in range(pods) for other in others)


def _other_host(host: int, copy: int, num_ranks: int, size: int, strides: list[int]) -> int:
    """Position of the copy-th host: on another pod first, then on the next GPU; all different."""
    pods = num_ranks // size
    pod = (host // size + strides[copy % len(strides)]) % pods
    gpu = (host % size + copy // pods) % size
    return pod * size + gpu
