"""Two plans side by side: degrees, figures and the verification's lines. Knows no third."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from moe_planner.render import amount, degrees_name, figure_name, figure_text
from moe_planner.result import Check, Plan
from moe_planner.tables import table


@dataclass(frozen=True, kw_only=True)
class ComparedLine:
    """One line: what the one plan has, what the other has, and whether that differs. "" where a plan has no such."""

    name: str
    one: str
    other: str
    differs: bool


def compared(one: Plan, other: Plan) -> tuple[ComparedLine, ...]:
    """Degrees first, then figures, then checks: those of the first plan in its order, then those of the second only."""
    return (
        _line("Degrees", degrees_name(one.degrees), degrees_name(other.degrees)),
        _line("GPUs", str(one.degrees.num_ranks), str(other.degrees.num_ranks)),
        *_figures(one, other),
        *_checks(one, other),
    )


def compared_text(one: Plan, other: Plan, names: tuple[str, str]) -> str:
    """A table of 120 columns; lines that differ are marked."""
    rows = [("≠" if line.differs else "", line.name, line.one, line.other) for line in compared(one, other)]
    return table(("", "LINE", *names), rows) + "\n"


def compared_values(one: Plan, other: Plan) -> list[dict[str, Any]]:
    """Plain JSON values."""
    return [
        {"name": line.name, "one": line.one, "other": line.other, "differs": line.differs}
        for line in compared(one, other)
    ]


def _figures(one: Plan, other: Plan) -> Iterable[ComparedLine]:
    mine, its = dict(one.figures), dict(other.figures)
    for name in dict.fromkeys((*mine, *its)):
        if name != "gpus":
            yield _line(
                figure_name(name), *(figure_text(name, found[name]) if name in found else "" for found in (mine, its))
            )


def _checks(one: Plan, other: Plan) -> Iterable[ComparedLine]:
    mine = {check.name: check for check in one.verification}
    its = {check.name: check for check in other.verification}
    for name in dict.fromkeys((*mine, *its)):
        yield _line(name, _judged(mine.get(name)), _judged(its.get(name)))


def _judged(check: Check | None) -> str:
    return "" if check is None else f"{amount(check.value, check.unit)} {check.verdict}"


def _line(name: str, one: str, other: str) -> ComparedLine:
    return ComparedLine(name=name, one=one, other=other, differs=one != other)
