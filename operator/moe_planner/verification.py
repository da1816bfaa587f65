"""Counts the finished layouts again and compares them with what was asked. Trusts no number of the search."""

from collections import Counter
from math import ceil

from moe_planner.inputs import Constraints, Hardware, Workload
from moe_planner.layout import Layout
from moe_planner.memory import USABLE_SHARE, Memory, usable_bytes
from moe_planner.model import ModelShape
from moe_planner.result import Check, Verdict


def verify(
    layouts: tuple[Layout, ...],
    memory: Memory,
    shape: ModelShape,
    hardware: Hardware,
    workload: Workload,
    constraints: Constraints,
) -> tuple[Check, ...]:
    """A short table; each line judged `holds` or `fails`."""
    return (
        _gpu_count(layouts, hardware),
        _experts_hosted(layouts, shape, constraints),
        _balance(layouts),
        _memory(memory, hardware),
        _batch(layouts, workload),
        _takeover(layouts, workload),
    )


def _verdict(holds: bool) -> Verdict:
    return "holds" if holds else "fails"


def _gpu_count(layouts: tuple[Layout, ...], hardware: Hardware) -> Check:
    used = len(
        {
            (replica, stage.stage, seat.pod, seat.gpu)
            for replica, layout in enumerate(layouts)
            for stage in layout.stages
            for seat in stage.seats
        }
    )
    stages, ranks = len(layouts[0].stages), layouts[0].ranks_per_stage
    return Check(
        name="GPU count",
        formula=f"EP {ranks} x PP {stages} x DP {len(layouts)} = {used} <= {hardware.num_gpus}",
        value=used,
        limit=hardware.num_gpus,
        unit="GPUs",
        verdict=_verdict(used <= hardware.num_gpus),
        basis="derived",
        bound="hardware.nodes x hardware.gpusPerNode",
    )


def _experts_hosted(layouts: tuple[Layout, ...], shape: ModelShape, constraints: Constraints) -> Check:
    coverage = min(stage.coverage for layout in layouts for stage in layout.stages)
    hosted = len({copy.expert for stage in layouts[0].stages for copy in stage.copies})
    return Check(
        name="Coverage",
        formula=f"{hosted} of {shape.total_experts} experts hosted, each at least {coverage} x",
        value=coverage,
        limit=constraints.copies,
        unit="copies",
        verdict=_verdict(hosted == shape.total_experts and coverage >= constraints.copies),
        basis="derived",
        bound="experts.copies",
    )


def _balance(layouts: tuple[Layout, ...]) -> Check:
    counts = Counter(copy.rank for stage in layouts[0].stages for copy in stage.copies)
    most, least = max(counts.values()), min(counts[r] for s in layouts[0].stages for r in s.ranks)
    spread = max(len(s.experts) for s in layouts[0].stages) - min(len(s.experts) for s in layouts[0].stages)
    limit = least + 1 + ceil(spread / layouts[0].ranks_per_stage)
    return Check(
        name="Experts per GPU",
        formula=f"most {most}, least {least}",
        value=most,
        limit=limit,
        unit="experts",
        verdict=_verdict(most <= limit),
        basis="derived",
        bound="even placement",
    )


def _memory(memory: Memory, hardware: Hardware) -> Check:
    usable = usable_bytes(hardware)
    return Check(
        name="Memory per GPU",
        formula=f"{memory.total} <= {USABLE_SHARE} x {hardware.gpu_memory_bytes}",
        value=memory.total,
        limit=usable,
        unit="bytes",
        verdict=_verdict(memory.total <= usable),
        basis="assumed",
        bound="hardware.gpuMemory",
    )


def _batch(layouts: tuple[Layout, ...], workload: Workload) -> Check:
    lanes = len(layouts) * layouts[0].ranks_per_stage
    sequences = ceil(workload.batch_size / lanes)
    tokens = sequences * workload.max_sequence_length
    return Check(
        name="KV cache of a lane",
        formula=f"ceil({workload.batch_size} / {lanes}) sequences x {workload.max_sequence_length} = {tokens}",
        value=tokens,
        limit=workload.kv_tokens_per_lane,
        unit="tokens",
        verdict=_verdict(tokens <= workload.kv_tokens_per_lane),
        basis="given",
        bound="engine.blocksPerLane x engine.blockSize; beyond it the youngest sequences wait",
    )


def _takeover(layouts: tuple[Layout, ...], workload: Workload) -> Check:
    ranks = layouts[0].ranks_per_stage
    room = (ranks - 1) * workload.lanes_per_rank
    return Check(
        name="Lanes after one lost GPU",
        formula=f"{ranks} lanes <= ({ranks} - 1) ranks x {workload.lanes_per_rank}",
        value=ranks,
        limit=room,
        unit="lanes",
        verdict=_verdict(ranks <= room),
        basis="derived",
        bound="engine.lanesPerRank",
    )
