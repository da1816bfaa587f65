"""Models, hardware and placed stages that the tests of placing, covering and moving share."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from moe_planner.inputs import Constraints, Hardware, Loads, NodePlace
from moe_planner.layout import Layout, StageLayout
from moe_planner.model import ModelShape
from moe_planner.placement import place
from moe_planner.result import Degrees

ZIPF = Loads(kind="zipf")
ONE_COPY = Constraints()


def shaped(layers: int = 1, experts: int = 16, dense: tuple[int, ...] = ()) -> ModelShape:
    return ModelShape(
        layers=layers,
        experts=experts,
        experts_per_token=min(2, experts),
        hidden=64,
        heads=4,
        kv_heads=2,
        head_dim=16,
        expert_ffn=32,
        vocab=512,
        bytes_per_number=4,
        dense_layers=dense,
    )


def on_nodes(
    nodes: int, gpus: int, places: tuple[NodePlace, ...] = (), bad: tuple[tuple[str, int], ...] = ()
) -> Hardware:
    return Hardware(nodes=nodes, gpus_per_node=gpus, gpu_memory_bytes=64 << 30, places=places, bad_gpus=frozenset(bad))


def in_racks(*racks: str) -> tuple[NodePlace, ...]:
    """Places written zone/rack, one for each node."""
    return tuple(NodePlace(zone=word.split("/")[0], rack=word.split("/")[1]) for word in racks)


def placed(
    shape: ModelShape,
    hardware: Hardware,
    *,
    ranks: int,
    stages: int = 1,
    constraints: Constraints = ONE_COPY,
    loads: Loads = Loads(),
    batch: int = 128,
) -> Layout:
    degrees = Degrees(expert=ranks, pipeline=stages)
    return place(shape, hardware, degrees, constraints, loads, batch=batch)[0]


def experts_lost_per_node(stage: StageLayout) -> float:
    """Experts that the death of one node leaves without a host, as the mean over the stage's nodes."""
    domains = {seat.rank: seat.domain for seat in stage.seats}
    nodes = (frozenset(domains[rank] for rank in stage.hosts(expert)) for expert in stage.experts)
    return sum(len(names) == 1 for names in nodes) / len(set(domains.values()))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A stage, and what it was placed for."""

    shape: ModelShape
    hardware: Hardware
    ranks: int
    constraints: Constraints
    loads: Loads

    @property
    def stage(self) -> StageLayout:
        return placed(
            self.shape, self.hardware, ranks=self.ranks, constraints=self.constraints, loads=self.loads
        ).stages[0]


@st.composite
def cases(draw: st.DrawFn, *, least_pods: int = 1, copies: tuple[int, int] = (1, 3)) -> Case:
    """One stage of one to three layers with any loads and copies, in one or several racks."""
    gpus, pods = draw(st.integers(1, 4)), draw(st.integers(least_pods, 4))
    ranks, experts, layers = gpus * pods, draw(st.integers(1, 20)), draw(st.integers(1, 3))
    counts = draw(st.lists(st.tuples(*[st.integers(0, 50)] * experts), min_size=layers, max_size=layers))
    loads = draw(st.sampled_from([Loads(), ZIPF, Loads(kind="measured", counts=tuple(counts))]))
    named = draw(st.dictionaries(st.integers(0, layers * experts - 1), st.integers(copies[0], 4), max_size=3))
    constraints = Constraints(
        copies=min(ranks, draw(st.integers(*copies))),
        spare_copies=draw(st.integers(0, 12)),
        copies_of=tuple((expert, min(ranks, number)) for expert, number in sorted(named.items())),
    )
    racks = in_racks(*(f"z/r{node * draw(st.integers(1, 2)) // 2}" for node in range(pods)))
    return Case(
        shape=shaped(layers, experts),
        hardware=on_nodes(pods, gpus, racks if draw(st.booleans()) else ()),
        ranks=ranks,
        constraints=constraints,
        loads=loads,
    )
