"""`kubectl-moe plan`: from the flags to what is shown. Decides what is asked, leaves how it looks to others."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from moe_api.recount_lines import RecountLine, compare
from moe_kubectl.errors import CommandError
from moe_kubectl.failing import failures_of, failures_text, failures_values
from moe_kubectl.files import Source, read_config, read_source, write_text
from moe_kubectl.growing import growth_of, growth_text, growth_values
from moe_kubectl.lines import answer_text, answer_values, taken_text
from moe_kubectl.loads_file import read_loads
from moe_kubectl.measuring import calibrated, errors_text, errors_values
from moe_kubectl.pictures import picture_of
from moe_kubectl.planned import Planned, plan_source
from moe_kubectl.recounting import read_recount, recount_text, recount_values
from moe_kubectl.what_if import OBJECTIVES, WhatIf, applied, parse_fixes
from moe_planner.calibrating import LineError
from moe_planner.calibration import Calibration
from moe_planner.comparing import compared_text, compared_values
from moe_planner.errors import PlanError
from moe_planner.failures import StageFailure
from moe_planner.layout import Layout
from moe_planner.render import as_text
from moe_planner.values import as_dict


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The flags of `plan`, as they were written; None where they are not given."""

    file: str | None = None
    model: str | None = None
    gpus: int | None = None
    nodes: int | None = None
    gpus_per_node: int | None = None
    hardware: str | None = None
    fix: tuple[str, ...] = ()
    objective: str | None = None
    loads: str | None = None
    measured: str | None = None
    fail: str | None = None
    compare: str | None = None
    grow_from: str | None = None
    recount: str | None = None
    svg: str | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is shown: as text, or as plain values. `agrees` is False where a recount found a difference."""

    text: str
    values: dict[str, Any]
    agrees: bool = True


def answer(asked: Asked) -> Answer:
    """Raises CommandError; writes the picture, if one is asked for."""
    source = None if asked.file is None else read_source(asked.file)
    current = None if asked.grow_from is None else _planned(read_source(asked.grow_from), Asked()).plan.layout
    planned = _planned(source, asked, current=current)
    errors: tuple[LineError, ...] = ()
    if asked.measured is not None:
        calibration, errors = calibrated(planned, asked.measured)
        planned = _planned(source, asked, calibration, current)
    failures = _failures(planned, asked.fail)
    if asked.svg is not None:
        write_text(asked.svg, picture_of(planned, failures))
    text, values = _plan(planned, errors)
    if asked.fail is not None:
        text = failures_text(planned, asked.fail, failures)
        values["failures"] = failures_values(failures)
    if current is not None:
        growth = growth_of(planned, current)
        text, values["growth"] = growth_text(growth), growth_values(growth)
    if asked.compare is not None:
        text, values["compared"] = _compared(planned, asked)
    lines = _recounted(planned, asked.recount)
    if asked.recount is not None:
        text, values["recount"] = recount_text(lines), recount_values(lines)
    return Answer(text=text, values=values, agrees=all(line.agrees for line in lines))


def _planned(
    source: Source | None, asked: Asked, calibration: Calibration | None = None, current: Layout | None = None
) -> Planned:
    objective = next((known for known in OBJECTIVES if known == asked.objective), None)
    if asked.objective is not None and objective is None:
        raise CommandError(f"--objective {asked.objective}: is none of {', '.join(OBJECTIVES)}; use one of them")
    what_if = WhatIf(
        config=None if asked.model is None else read_config(asked.model),
        model=asked.model or "",
        gpus=asked.gpus,
        nodes=asked.nodes,
        gpus_per_node=asked.gpus_per_node,
        hardware=asked.hardware,
        fix=parse_fixes(list(asked.fix)),
        objective=objective,
    )
    try:
        edited = applied(source, what_if)
    except PlanError as error:
        raise CommandError(f"{asked.model}: {error}") from error
    loads = None if asked.loads is None else read_loads(asked.loads)
    return plan_source(edited, what_if, loads=loads, calibration=calibration, current=current)


def _failures(planned: Planned, written: str | None) -> tuple[StageFailure, ...]:
    if written is None:
        return ()
    try:
        return failures_of(planned, written)
    except PlanError as error:
        raise CommandError(str(error)) from error


def _plan(planned: Planned, errors: tuple[LineError, ...]) -> tuple[str, dict[str, Any]]:
    """The plan, after what was asked of it: how well it predicts, and whether a planning file's lines hold."""
    values = as_dict(planned.plan)
    parts = []
    if errors:
        values["measured"] = errors_values(errors)
        parts.append(errors_text(errors))
    if planned.file is not None:
        values["planningFile"] = answer_values(planned.file, planned.plan)
        told = answer_text if planned.source.is_file else taken_text
        parts.append(told(planned.file, planned.plan))
    return as_text(planned.plan, answer="\n\n".join(parts)), values


def _compared(planned: Planned, asked: Asked) -> tuple[str, list[dict[str, Any]]]:
    """The other file's plan without the flags, then this one with them."""
    assert asked.compare is not None, "it is asked for"
    other = _planned(read_source(asked.compare), Asked())
    names = (_short(other.source), f"{_short(planned.source)}{_flags(asked)}")
    return (
        compared_text(other.plan, planned.plan, names),
        compared_values(other.plan, planned.plan),
    )


def _short(source: Source) -> str:
    return Path(source.name).name or source.name


def _flags(asked: Asked) -> str:
    """The flags that make a difference to the plan, as they were written."""
    plain = replace(asked, file=None, fix=(), fail=None, compare=None, grow_from=None, recount=None, svg=None)
    given = {name: getattr(plain, name) for name in plain.__dataclass_fields__}
    words = [f"--{name.replace('_', '-')} {value}" for name, value in given.items() if value]
    return "".join(f" {word}" for word in (*words, *(f"--fix {fix}" for fix in asked.fix)))


def _recounted(planned: Planned, file: str | None) -> tuple[RecountLine, ...]:
    return () if file is None else compare(read_recount(file), planned.plan)
