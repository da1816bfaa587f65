"""A plan for people: reasoning, layout, verification and alternatives, for a terminal of 120 columns."""

import re
from collections.abc import Sequence

from moe_planner.amounts import count, decimal, gib, seconds
from moe_planner.layout import StageLayout
from moe_planner.result import Alternative, Check, Degrees, Plan
from moe_planner.tables import annotated, table, wrapped

_MAX_STAGES_SHOWN = 64
_MAX_NODES_SHOWN = 4
_UNITS = ("Bytes", "Seconds")


def as_text(plan: Plan, *, answer: str = "") -> str:
    """The whole plan, its parts apart by an empty line: the conclusion first, then an `answer` where there is one."""
    parts = [
        "\n".join(wrapped(plan.conclusion)),
        answer,
        reasoning_text(plan),
        layout_text(plan),
        verification_text(plan.verification),
        alternatives_text(plan.alternatives),
        unsupported_text(plan),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def reasoning_text(plan: Plan) -> str:
    """The steps in their order: facts, choice, reason."""
    lines = []
    for number, step in enumerate(plan.reasoning, start=1):
        lines.append(f"{number}. {step.title}")
        for fact in step.facts:
            lines.extend(wrapped(fact, "   - "))
        lines.extend(wrapped(step.choice, "   => "))
        lines.extend(wrapped(f"because {step.why}", "      "))
    return "\n".join(lines)


def layout_text(plan: Plan) -> str:
    """One row for each stage; of many stages the first."""
    rows = [
        (f"{replica}", f"{stage.stage}", _layers(stage), _ranks(stage), _held(stage), _nodes(stage))
        for replica, layout in enumerate(plan.layouts)
        for stage in layout.stages
    ]
    left_out = len(rows) - _MAX_STAGES_SHOWN
    text = table(("REPLICA", "STAGE", "LAYERS", "RANKS", "EXPERTS", "NODES"), rows[:_MAX_STAGES_SHOWN])
    return text if left_out <= 0 else f"{text}\n... and {left_out} more stages (-o json shows all)"


def verification_text(checks: Sequence[Check]) -> str:
    """A line for each check, below it its formula with the numbers put in, its note, and the bound that it misses."""
    head = ("VERDICT", "CHECK", "VALUE", "LIMIT", "MARGIN", "ERROR", "BASIS")
    rows = [
        (c.verdict, c.name, amount(c.value, c.unit), amount(c.limit, c.unit), _margin(c), _error(c), c.basis)
        for c in checks
    ]
    return annotated(head, rows, [(check.formula, check.note, _bound(check)) for check in checks])


def alternatives_text(alternatives: Sequence[Alternative]) -> str:
    """What lost: its degrees and figures, and why. What has a role of its own stands first."""
    if not alternatives:
        return ""
    lines = ["ALTERNATIVES"]
    for one in sorted(alternatives, key=lambda alternative: alternative.role == ""):
        role = f", {one.role}" if one.role else ""
        copies = f", {count(one.copies, 'copy')}" if one.copies > 1 else ""
        lines.append(f"{degrees_name(one.degrees)}, {count(one.degrees.num_ranks, 'GPU')}{copies}{role}")
        lines.extend(wrapped(figures_text(one.figures), "   ") if one.figures else ())
        lines.extend(wrapped(f"because {one.rejected_because}", "   "))
    return "\n".join(lines)


def unsupported_text(plan: Plan) -> str:
    """What the plan needs and the workers of this version cannot run; "" where there is nothing."""
    if not plan.unsupported:
        return ""
    lines = [f"{one.field} = {one.value}: {one.rule}; {one.remedy}" for one in plan.unsupported]
    return "\n".join(["THE WORKERS CANNOT RUN THIS PLAN", *(row for line in lines for row in wrapped(line, "   "))])


def degrees_name(degrees: Degrees) -> str:
    """EP16 x PP16, and those of TP, SP and DP that are not 1."""
    others = (("TP", degrees.tensor), ("SP", degrees.sequence), ("DP", degrees.data))
    more = "".join(f" x {name}{degree}" for name, degree in others if degree != 1)
    return f"EP{degrees.expert} x PP{degrees.pipeline}{more}"


def figures_text(figures: Sequence[tuple[str, float]]) -> str:
    """Names in words, and values in the unit that a name has in it."""
    return ", ".join(f"{figure_name(name)} {figure_text(name, value)}" for name, value in figures)


def figure_name(name: str) -> str:
    """A figure's name in words: memoryBytesPerGPU -> memory per GPU."""
    parts = re.split(r"(?<=[a-z])(?=[A-Z])", name)
    return " ".join(part if part.isupper() else part.lower() for part in parts if part not in _UNITS)


def figure_text(name: str, value: float) -> str:
    """A figure's value, in the unit that its name has in it."""
    words = name.lower()
    if "bytes" in words:
        return gib(value)
    if "seconds" in words:
        return seconds(value)
    return f"{value:.1%}" if "share" in words else f"{value:.6g}"


def amount(value: float, unit: str) -> str:
    """A value with its unit, as it reads best."""
    match unit:
        case "bytes":
            return gib(value)
        case "s" | "seconds":
            return seconds(value)
        case "share":
            return f"{value:.4%}" if value < 0.01 else f"{value:.1%}"
        case "":
            return f"{value:.4g}"
        case _ if unit.endswith("/s"):
            return decimal(value, unit)
        case _:
            number = f"{value:.0f}" if value == int(value) else f"{value:.6g}"
            return f"{number} {_singular(unit) if value == 1 else unit}"


def _singular(unit: str) -> str:
    return "copy" if unit == "copies" else unit.removesuffix("s")


def _margin(check: Check) -> str:
    return "" if check.margin is None else f"{check.margin:.0%}"


def _error(check: Check) -> str:
    return "" if check.error is None else f"±{check.error:.0%}"


def _bound(check: Check) -> str:
    """What the value runs into, where it misses its limit and the note has not said so."""
    is_told = check.verdict == "holds" or check.bound in check.note
    return f"bound: {check.bound}" if check.bound and not is_told else ""


def _layers(stage: StageLayout) -> str:
    return _span(range(stage.first_layer, stage.first_layer + stage.num_layers))


def _ranks(stage: StageLayout) -> str:
    return _span(stage.ranks)


def _nodes(stage: StageLayout) -> str:
    names = list(dict.fromkeys(seat.node or "any" for seat in stage.seats))
    return ", ".join(names) if len(names) <= _MAX_NODES_SHOWN else f"{names[0]} .. {names[-1]} ({len(names)} nodes)"


def _held(stage: StageLayout) -> str:
    """Experts of the stage and how many a GPU holds; a stage of dense layers has none."""
    experts = tuple(stage.experts)
    if not experts:
        return "none"
    held = dict.fromkeys(stage.ranks, 0)
    for copy in stage.copies:
        held[copy.rank] += 1
    least, most = min(held.values()), max(held.values())
    return f"{_span(experts)}, {least if least == most else f'{least}-{most}'} per GPU"


def _span(numbers: Sequence[int]) -> str:
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
