"""A plan as plain JSON values. Their names are a contract with programs: names are added, never changed."""

from collections import Counter
from math import isfinite
from typing import Any

from moe_planner.layout import Layout, StageLayout
from moe_planner.result import Alternative, Check, Degrees, Plan


def as_dict(plan: Plan) -> dict[str, Any]:
    """`layout` is the first replica's; `replicas` has all of them when there are several."""
    layouts = _layouts(plan)
    return {
        "conclusion": plan.conclusion,
        "degrees": degrees_dict(plan.degrees),
        "figures": _figures(plan.figures),
        "layout": layouts[0],
        **({"replicas": layouts} if len(layouts) > 1 else {}),
        "reasoning": [
            {"title": s.title, "facts": list(s.facts), "choice": s.choice, "why": s.why} for s in plan.reasoning
        ],
        "verification": [_check(check) for check in plan.verification],
        "alternatives": [_alternative(alternative) for alternative in plan.alternatives],
        "unsupported": [
            {"field": u.field, "value": u.value, "rule": u.rule, "remedy": u.remedy} for u in plan.unsupported
        ],
    }


def degrees_dict(degrees: Degrees) -> dict[str, int]:
    """By the names of spec.parallelism."""
    return {
        "expert": degrees.expert,
        "pipeline": degrees.pipeline,
        "tensor": degrees.tensor,
        "sequence": degrees.sequence,
        "data": degrees.data,
    }


def _layouts(plan: Plan) -> list[dict[str, Any]]:
    """Pods take a node's GPUs in order, over all replicas, so that every GPU is named once."""
    taken: Counter[str] = Counter()
    return [_layout(layout, plan.gpus_per_pod, taken) for layout in plan.layouts]


def _layout(layout: Layout, gpus_per_pod: int, taken: Counter[str]) -> dict[str, Any]:
    return {"stages": [_stage(stage, gpus_per_pod, taken) for stage in layout.stages]}


def _stage(stage: StageLayout, gpus_per_pod: int, taken: Counter[str]) -> dict[str, Any]:
    first_gpus: dict[int, int] = {}
    for seat in stage.seats:
        if seat.pod not in first_gpus:
            first_gpus[seat.pod] = taken[seat.node or ""]
            taken[seat.node or ""] += gpus_per_pod
    held, lanes = _by_rank(stage)
    return {
        "stage": stage.stage,
        "firstLayer": stage.first_layer,
        "numLayers": stage.num_layers,
        "ranks": [
            {
                "rank": seat.rank,
                "pod": seat.pod,
                "node": seat.node,
                "gpu": first_gpus[seat.pod] + seat.gpu,
                "lanes": lanes.get(seat.rank, []),
                "experts": held.get(seat.rank, []),
            }
            for seat in stage.seats
        ],
    }


def _by_rank(stage: StageLayout) -> tuple[dict[int, list[dict[str, int]]], dict[int, list[int]]]:
    """Experts and lanes of each rank, in one pass: a stage may have hundreds of ranks and thousands of copies."""
    held: dict[int, list[dict[str, int]]] = {}
    lanes: dict[int, list[int]] = {}
    for copy in stage.copies:
        expert = {"layer": copy.expert // stage.experts_per_layer, "expert": copy.expert}
        held.setdefault(copy.rank, []).append(expert)
    for lane in stage.lanes:
        if lane.rank is not None:
            lanes.setdefault(lane.rank, []).append(lane.lane)
    return held, lanes


def _check(check: Check) -> dict[str, Any]:
    names = ("name", "formula", "value", "limit", "unit", "verdict", "basis", "bound", "margin", "error", "note")
    return {name: _number(getattr(check, name)) for name in names}


def _alternative(alternative: Alternative) -> dict[str, Any]:
    return {
        "degrees": degrees_dict(alternative.degrees),
        "copies": alternative.copies,
        "role": alternative.role,
        "figures": _figures(alternative.figures),
        "rejected_because": alternative.rejected_because,
    }


def _figures(figures: tuple[tuple[str, float], ...]) -> dict[str, Any]:
    return {name: _number(value) for name, value in figures}


def _number(value: object) -> object:
    """JSON has no infinity."""
    return None if isinstance(value, float) and not isfinite(value) else value
