"""Is a value a number of the size that it must have? Says no with a PlanError; knows no field's meaning."""

from collections.abc import Sequence

from moe_planner.errors import PlanError
from moe_planner.limits import MOST_SIZE, shown


def check_whole(field: str, value: object, *, least: int = 1, most: int = MOST_SIZE) -> None:
    """A whole number from `least` to `most`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise PlanError(field, shown(value), "must be a whole number", f"write {least} or more")
    if value < least:
        remedy = "write a positive number" if least == 1 else f"write {least} or more"
        raise PlanError(field, shown(value), f"must be at least {least}", remedy)
    if value > most:
        raise PlanError(field, shown(value), f"must be at most {most}", "write the true number")


def check_real(field: str, value: object, *, least: float = 0.0, most: float, can_be_least: bool = False) -> None:
    """A finite number above `least`, or equal to it where that is allowed, and of at most `most`."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise PlanError(field, shown(value), "must be a number", "write a number")
    is_above = value >= least if can_be_least else value > least
    if not is_above or value > most:  # not-a-number is not above anything
        low = f"at least {least:g}" if can_be_least else f"more than {least:g}"
        raise PlanError(field, shown(value), f"must be {low} and at most {most:g}", "write the true number")


def check_one_of(field: str, value: object, allowed: Sequence[str]) -> None:
    """One of the words."""
    if not isinstance(value, str) or value not in allowed:
        raise PlanError(field, shown(value), f"must be one of {', '.join(allowed)}", f"use {allowed[0]}")


def check_flag(field: str, value: object) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise PlanError(field, shown(value), "must be true or false", "use one of them")


def check_items(field: str, value: object) -> None:
    """Several of something, in an order."""
    if not isinstance(value, tuple):
        raise PlanError(field, shown(value), "must be a list", "write a list, which may be empty")


def check_is(field: str, value: object, kind: type) -> None:
    """A value of that type, where a wrong one would break what reads it."""
    if not isinstance(value, kind):
        raise PlanError(field, shown(value), f"must be a {kind.__name__}", "leave it out, or give one")
