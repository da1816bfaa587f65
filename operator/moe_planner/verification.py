"""Counts the finished layouts again and compares them with what was asked. Trusts no number of the search.

What the targets ask for comes first, then what the layout must keep.
"""

from collections import Counter
from math import ceil

from moe_planner.amounts import gib
from moe_planner.balance import balances
from moe_planner.candidates import Candidate
from moe_planner.evenness import balance_lines
from moe_planner.failure_lines import failure_lines
from moe_planner.goals import Judge
from moe_planner.layout import Layout, StageLayout
from moe_planner.memory import USABLE_SHARE, Memory, memory_of_rank, usable_bytes
from moe_planner.problem import Problem
from moe_planner.rate_line import rate_line
from moe_planner.result import Check, verdict_of
from moe_planner.sizes import layer_sizes
from moe_planner.target_lines import target_lines


def verify(problem: Problem, chosen: Candidate, layouts: tuple[Layout, ...]) -> tuple[Check, ...]:
    """The table, each line judged `holds`, `fails` or `unreachable`."""
    memory = fullest_memory(problem, chosen, layouts[0])
    goals = Judge(problem, chosen.degrees.gpus_per_seat).goals(chosen)
    loads = balances(layouts[0], problem.rates, batch=chosen.sequences)
    return (
        _gpu_count(problem, chosen, layouts),
        *balance_lines(problem, chosen, layouts[0], loads),
        *target_lines(chosen, goals, memory),
        *rate_line(chosen),
        _experts_hosted(problem, layouts),
        _experts_per_gpu(problem, layouts),
        _memory(problem, memory),
        _batch(problem, layouts),
        *failure_lines(problem, chosen, layouts),
    )


def fullest_memory(problem: Problem, chosen: Candidate, layout: Layout) -> Memory:
    """Of the GPU that holds most, counted from the layout."""
    return max((_memory_of(stage, problem, chosen, layout) for stage in layout.stages), key=lambda one: one.total)


def _memory_of(stage: StageLayout, problem: Problem, chosen: Candidate, layout: Layout) -> Memory:
    shape, last = problem.shape, len(layout.stages) - 1
    ends = (stage.stage == 0) + (stage.stage == last and not (last == 0 and shape.tied_embeddings))
    sizes = layer_sizes(shape, stage.first_layer, stage.first_layer + stage.num_layers, ends)
    held = max(len(stage.held(rank)) for rank in stage.ranks)
    copies = max(Counter(copy.expert for copy in stage.copies).values(), default=1)
    return memory_of_rank(sizes, shape, chosen.degrees, problem.workload, held, copies)


def _gpu_count(problem: Problem, chosen: Candidate, layouts: tuple[Layout, ...]) -> Check:
    used = len(
        {
            (replica, stage.stage, seat.pod, seat.gpu)
            for replica, layout in enumerate(layouts)
            for stage in layout.stages
            for seat in stage.seats
        }
    )
    stages, ranks, wide = len(layouts[0].stages), layouts[0].ranks_per_stage, chosen.degrees.gpus_per_seat
    used *= wide
    seats = f" x {wide} GPUs a seat" if wide > 1 else ""
    good = problem.capacity.good_gpus
    return Check(
        name="GPU count",
        formula=f"EP {ranks} x PP {stages} x DP {len(layouts)}{seats} = {used} <= {good}",
        value=used,
        limit=good,
        unit="GPUs",
        verdict=verdict_of(used <= good),
        basis="derived",
        bound="hardware.nodes x hardware.gpusPerNode",
        margin=(good - used) / good,
        note=f"EP {ranks} is per stage: {ranks * stages} expert ranks in all {stages} stages",
    )


def _experts_hosted(problem: Problem, layouts: tuple[Layout, ...]) -> Check:
    total, wanted = problem.shape.total_experts, problem.copies
    copies = min((stage.coverage for layout in layouts for stage in layout.stages if stage.experts), default=0)
    hosted = len({copy.expert for stage in layouts[0].stages for copy in stage.copies})
    return Check(
        name="Coverage",
        formula=f"{hosted} of {total} experts hosted, each at least {copies} x",
        value=copies,
        limit=wanted,
        unit="copies",
        verdict=verdict_of(hosted == total and copies >= wanted),
        basis="derived",
        bound="experts.copies",
        margin=(copies - wanted) / wanted,
    )


def _experts_per_gpu(problem: Problem, layouts: tuple[Layout, ...]) -> Check:
    """Even but for what does not divide: one expert more in each of its copies, and what stages differ by."""
    stages = [stage for stage in layouts[0].stages if stage.experts]
    counts = [len(stage.held(rank)) for stage in stages for rank in stage.ranks]
    most, least = max(counts, default=0), min(counts, default=0)
    sizes = [len(stage.experts) for stage in stages] or [0]
    limit = least + problem.copies * (1 + ceil((max(sizes) - min(sizes)) / layouts[0].ranks_per_stage))
    return Check(
        name="Experts per GPU",
        formula=f"most {most}, least {least}",
        value=most,
        limit=limit,
        unit="experts",
        verdict=verdict_of(most <= limit),
        basis="derived",
        bound="even placement",
        margin=(limit - most) / limit,
    )


def _memory(problem: Problem, memory: Memory) -> Check:
    usable, whole = usable_bytes(problem.hardware), problem.hardware.gpu_memory_bytes
    return Check(
        name="Memory per GPU",
        formula=f"experts {gib(memory.experts)} + takeover {gib(memory.takeover)} + attention "
        f"{gib(memory.attention)} + embeddings {gib(memory.embeddings)} + KV cache {gib(memory.kv_cache)} + buffers "
        f"{gib(memory.buffers)} = {gib(memory.total)} <= {USABLE_SHARE:.0%} of {gib(whole)}",
        value=memory.total,
        limit=usable,
        unit="bytes",
        verdict=verdict_of(memory.total <= usable),
        basis="assumed",
        bound="hardware.gpuMemory",
        margin=(usable - memory.total) / usable,
        note=f"assumed: {USABLE_SHARE:.0%} of a GPU's memory is usable",
    )


def _batch(problem: Problem, layouts: tuple[Layout, ...]) -> Check:
    workload = problem.workload
    lanes = len(layouts) * layouts[0].ranks_per_stage
    tokens = ceil(workload.batch_size / lanes) * workload.max_sequence_length
    room = workload.kv_tokens_per_lane
    return Check(
        name="KV cache of a lane",
        formula=f"ceil({workload.batch_size} / {lanes}) sequences x {workload.max_sequence_length} = {tokens}",
        value=tokens,
        limit=room,
        unit="tokens",
        verdict=verdict_of(tokens <= room),
        basis="given",
        bound="engine.blocksPerLane x engine.blockSize; beyond it the youngest sequences wait",
        margin=(room - tokens) / room,
    )
