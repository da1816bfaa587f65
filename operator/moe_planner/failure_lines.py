"""The lines of the table about what may die: what every expert outlives, and what finds room again after a loss.

Counted from the layouts. A loss that nobody asked to survive does not fail for want of copies; its note says what
the loss costs.
"""

from moe_planner.candidates import Candidate
from moe_planner.coverage import Headroom, coverage, coverage_notes
from moe_planner.layout import Layout
from moe_planner.memory import experts_that_fit
from moe_planner.moves import Room
from moe_planner.problem import Problem
from moe_planner.result import Check, verdict_of

_SURVIVED = {"nothing": (0, 0), "gpu": (1, 0), "node": (1, 1)}
"""By what must be survived: GPUs and nodes."""


def failure_lines(problem: Problem, chosen: Candidate, layouts: tuple[Layout, ...]) -> tuple[Check, ...]:
    """Two lines of what may die without a load, then room for the experts and lanes of one lost GPU and one node."""
    workload = problem.workload
    room = Room(
        lanes_per_rank=workload.lanes_per_rank,
        experts_per_rank=experts_that_fit(problem.shape, problem.hardware, chosen.degrees, workload),
    )
    covered = [coverage(layout, room) for layout in layouts]
    weakest = min(covered, key=lambda one: (one.gpus_to_lose, one.nodes_to_lose))
    if not weakest.stages:
        return ()
    gpus, nodes = _SURVIVED[problem.constraints.survive]
    return (
        _survival("GPUs", weakest.gpus_to_lose, gpus, note="; ".join(coverage_notes(weakest))),
        _survival("nodes", weakest.nodes_to_lose, nodes),
        *_rooms("GPU", layouts[0], {stage.stage: stage.gpu_headroom for stage in weakest.stages}),
        *_rooms("node", layouts[0], {stage.stage: stage.node_headroom for stage in weakest.stages}),
    )


def _survival(what: str, lose: int, wanted: int, note: str = "") -> Check:
    return Check(
        name=f"{what[0].upper()}{what[1:]} that may die",
        formula=f"every expert is on {lose + 1} {what} of its stage at least: {lose + 1} - 1 = {lose} >= {wanted}",
        value=lose,
        limit=wanted,
        unit=what,
        verdict=verdict_of(lose >= wanted),
        basis="derived",
        bound="experts.copies and experts.survive",
        margin=float(lose - wanted),
        note=note,
    )


def _rooms(what: str, layout: Layout, found: dict[int, Headroom | None]) -> tuple[Check, ...]:
    """Of all stages the ones with the least room: what they must host, and what the others could after the loss."""
    rooms = [(layout.stages[stage], headroom) for stage, headroom in found.items() if headroom is not None]
    if not rooms:
        return ()
    stage, least = min(rooms, key=lambda one: one[1].experts or 0)
    crowded, fewest = min(rooms, key=lambda one: one[1].lanes)
    return (
        _room(f"Experts after one lost {what}", len(stage.experts), least.experts or 0, "experts", stage.stage),
        _room(f"Lanes after one lost {what}", len(crowded.lanes), fewest.lanes, "lanes", crowded.stage),
    )


def _room(name: str, needed: int, spare: int, unit: str, stage: int) -> Check:
    limit = needed + spare
    return Check(
        name=name,
        formula=f"{needed} {unit} of stage {stage} <= {limit} that the others have room for",
        value=needed,
        limit=limit,
        unit=unit,
        verdict=verdict_of(spare >= 0),
        basis="derived",
        bound="hardware.gpuMemory" if unit == "experts" else "engine.lanesPerRank",
        margin=spare / limit if limit else None,
    )
