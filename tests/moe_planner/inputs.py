"""Inputs that the planner's tests share: the reference, small ones, and generated ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from moe_planner.errors import PlanError
from moe_planner.inputs import Constraints, Hardware, Workload
from moe_planner.layout import StageLayout
from moe_planner.model import ModelShape
from moe_planner.plan import plan
from moe_planner.result import Plan

SHAPE = ModelShape(
    layers=16,
    experts=16,
    experts_per_token=2,
    hidden=64,
    heads=4,
    kv_heads=2,
    head_dim=16,
    expert_ffn=32,
    vocab=512,
    bytes_per_number=4,
)
WORKLOAD = Workload(
    batch_size=128,
    min_sequence_length=16,
    max_sequence_length=512,
    kv_tokens_per_lane=4096,
    lanes_per_rank=3,
    step_tokens=256,
    steps_in_flight=4,
)
GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Inputs:
    shape: ModelShape
    hardware: Hardware
    constraints: Constraints


def hardware(nodes: int = 32, gpus: int = 8, memory: int = 64 * GIB) -> Hardware:
    return Hardware(nodes=nodes, gpus_per_node=gpus, gpu_memory_bytes=memory)


def make(
    layers: int = 16,
    experts: int = 16,
    nodes: int = 32,
    gpus: int = 8,
    memory: int = 64 * GIB,
    constraints: Constraints | None = None,
) -> Plan:
    """A plan for the demo model with other numbers put in."""
    shape = replace(SHAPE, layers=layers, experts=experts, experts_per_token=min(2, experts))
    return plan(shape, hardware(nodes, gpus, memory), WORKLOAD, constraints or Constraints())


def stage(ranks: int = 8, experts: int = 8, gpus: int = 4, copies: int = 1) -> StageLayout:
    """The only stage of a model of one layer, on nodes of `gpus` GPUs."""
    fixed = Constraints(expert=ranks, copies=copies)
    return make(layers=1, experts=experts, nodes=-(-ranks // gpus), gpus=gpus, constraints=fixed).layout.stages[0]


@st.composite
def any_inputs(draw: st.DrawFn) -> Inputs:
    """Inputs that keep every rule of their own; there may still be too few GPUs."""
    experts = draw(st.integers(1, 24))
    return Inputs(
        shape=replace(SHAPE, layers=draw(st.integers(1, 9)), experts=experts, experts_per_token=min(2, experts)),
        hardware=hardware(draw(st.integers(1, 20)), draw(st.integers(1, 9))),
        constraints=Constraints(copies=draw(st.integers(1, 3)), replicas=draw(st.integers(1, 2))),
    )


@st.composite
def any_stage(draw: st.DrawFn) -> StageLayout:
    """A planned stage of several ranks."""
    gpus = draw(st.integers(1, 4))
    ranks = gpus * draw(st.integers(1, 4))
    experts = draw(st.integers(ranks, 2 * ranks))
    return stage(ranks, experts, gpus, draw(st.integers(1, min(3, ranks))))


def planned_or_none(inputs: Inputs) -> Plan | None:
    try:
        return plan(inputs.shape, inputs.hardware, WORKLOAD, inputs.constraints)
    except PlanError:
        return None
