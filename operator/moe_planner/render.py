"""A plan for people (text) and for programs (plain values; their names are a contract)."""

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any

from moe_planner.layout import Layout, Seat, StageLayout
from moe_planner.result import Alternative, Check, Degrees, Plan
from moe_planner.search import gib

_MAX_STAGES_SHOWN = 64
_COLUMNS = 120


def as_dict(plan: Plan) -> dict[str, Any]:
    """Plain JSON values. `layout` is the first replica's; `replicas` has all of them when there are several."""
    layouts = _layouts(plan)
    return {
        "conclusion": plan.conclusion,
        "degrees": _degrees(plan.degrees),
        "layout": layouts[0],
        **({"replicas": layouts} if len(layouts) > 1 else {}),
        "reasoning": [
            {"title": s.title, "facts": list(s.facts), "choice": s.choice, "why": s.why} for s in plan.reasoning
        ],
        "verification": [_check(check) for check in plan.verification],
        "alternatives": [_alternative(alternative) for alternative in plan.alternatives],
    }


def as_text(plan: Plan) -> str:
    """Reasoning, layout, verification and rejected alternatives, for a terminal of 120 columns."""
    parts = [plan.conclusion, _reasoning_text(plan), _layout_text(plan), _verification_text(plan)]
    if plan.alternatives:
        parts.append(_alternatives_text(plan))
    return "\n\n".join(parts) + "\n"


def _degrees(degrees: Degrees) -> dict[str, int]:
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
    return {
        "stage": stage.stage,
        "firstLayer": stage.first_layer,
        "numLayers": stage.num_layers,
        "ranks": [_rank(stage, seat, first_gpus[seat.pod] + seat.gpu) for seat in stage.seats],
    }


def _rank(stage: StageLayout, seat: Seat, gpu: int) -> dict[str, Any]:
    return {
        "rank": seat.rank,
        "pod": seat.pod,
        "node": seat.node,
        "gpu": gpu,
        "lanes": list(stage.lanes_at(seat.rank)),
        "experts": [{"layer": e // stage.experts_per_layer, "expert": e} for e in stage.held(seat.rank)],
    }


def _check(check: Check) -> dict[str, Any]:
    names = ("name", "formula", "value", "limit", "unit", "verdict", "basis", "bound")
    return {name: getattr(check, name) for name in names}


def _alternative(alternative: Alternative) -> dict[str, Any]:
    return {
        "degrees": _degrees(alternative.degrees),
        "figures": dict(alternative.figures),
        "rejected_because": alternative.rejected_because,
    }


def _reasoning_text(plan: Plan) -> str:
    lines = []
    for number, step in enumerate(plan.reasoning, start=1):
        lines.append(f"{number}. {step.title}")
        for fact in step.facts:
            lines.extend(_wrapped(fact, "   - "))
        lines.extend(_wrapped(step.choice, "   => "))
        lines.extend(_wrapped(f"because {step.why}", "      "))
    return "\n".join(lines)


def _wrapped(text: str, lead: str) -> list[str]:
    return textwrap.wrap(text, width=_COLUMNS, initial_indent=lead, subsequent_indent=" " * len(lead))


def _layout_text(plan: Plan) -> str:
    rows = [
        (f"{replica}", f"{stage.stage}", _span(_layers(stage)), _span(list(stage.ranks)), _nodes(stage), _held(stage))
        for replica, layout in enumerate(plan.layouts)
        for stage in layout.stages
    ]
    left_out = len(rows) - _MAX_STAGES_SHOWN
    text = table(("REPLICA", "STAGE", "LAYERS", "RANKS", "NODES", "EXPERTS"), rows[:_MAX_STAGES_SHOWN])
    return text if left_out <= 0 else f"{text}\n... and {left_out} more stages (-o json shows all)"


def _layers(stage: StageLayout) -> list[int]:
    return list(range(stage.first_layer, stage.first_layer + stage.num_layers))


def _nodes(stage: StageLayout) -> str:
    return ", ".join(dict.fromkeys(seat.node or "any" for seat in stage.seats))


def _held(stage: StageLayout) -> str:
    counts = [len(stage.held(rank)) for rank in stage.ranks]
    each = f"{counts[0]}" if min(counts) == max(counts) else f"{min(counts)}-{max(counts)}"
    return f"{_span(list(stage.experts))}, {each} per GPU"


def _span(numbers: list[int]) -> str:
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"


def _verification_text(plan: Plan) -> str:
    rows = [
        (c.verdict, c.name, c.formula, _amount(c.value, c.unit), _amount(c.limit, c.unit)) for c in plan.verification
    ]
    return table(("VERDICT", "CHECK", "FORMULA", "VALUE", "LIMIT"), rows)


def _amount(value: float, unit: str) -> str:
    return gib(value) if unit == "bytes" else f"{value:g} {unit}"


def _alternatives_text(plan: Plan) -> str:
    rows = [
        (f"EP{a.degrees.expert} x PP{a.degrees.pipeline}", f"{a.degrees.num_ranks}", a.rejected_because)
        for a in plan.alternatives
    ]
    return table(("REJECTED", "GPUS", "BECAUSE"), rows)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows])
    return "\n".join(line.rstrip() for line in lines)
