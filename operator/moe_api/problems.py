"""What is wrong with an object as field, value, rule and remedy, instead of pydantic's own words."""

import difflib
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from moe_planner.errors import PlanError

_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, kw_only=True)
class Problem:
    """`field` is the whole path, e.g. spec.hardware.nodes."""

    field: str
    value: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        shown = f"{self.field} = {self.value}" if self.value else self.field
        return f"{shown}: {self.rule}; {self.remedy}"


def of_plan(error: PlanError) -> Problem:
    """A refusal of the planner; its fields are relative to the spec."""
    return Problem(field=f"spec.{error.field}", value=str(error.value), rule=error.rule, remedy=error.remedy)


def of_validation(error: ValidationError, model: type[BaseModel]) -> tuple[Problem, ...]:
    """Every mistake that validating `model` found, in the order of its fields."""
    return tuple(_problem(dict(detail), model) for detail in error.errors(include_url=False))


def _problem(detail: dict[str, Any], model: type[BaseModel]) -> Problem:
    location = tuple(detail["loc"])
    field = ".".join(str(part) for part in location) or "the object"
    kind = detail["type"]
    if kind == "missing":
        return Problem(field=field, value="", rule="is missing", remedy="add it")
    if kind == "extra_forbidden":
        return Problem(field=field, value="", rule="is no known field", remedy=_did_you_mean(location, model))
    value = _shorten(repr(detail["input"]))
    if kind == "value_error":
        rule, _, remedy = str(detail["ctx"]["error"]).partition("; ")
        said_already = f"{detail['input']!r} "
        return Problem(field=field, value=value, rule=rule.removeprefix(said_already), remedy=remedy or "correct it")
    rule = detail["msg"][:1].lower() + detail["msg"][1:]
    return Problem(field=field, value=value, rule=rule, remedy=_remedy(kind, detail.get("ctx", {})))


def _remedy(kind: str, limits: dict[str, Any]) -> str:
    match kind:
        case "greater_than_equal":
            return f"use {limits['ge']} or more"
        case "greater_than":
            return f"use more than {limits['gt']:g}"
        case "less_than_equal":
            return f"use {limits['le']} or less"
        case "literal_error":
            return f"use {limits['expected']}"
        case "int_type":
            return "write a whole number without quotes"
        case "string_type":
            return "write a text, in quotes where YAML would read a number"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "write fields with values"
        case _:
            return "correct it; kubectl explain describes the field"


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _did_you_mean(location: tuple[str | int, ...], model: type[BaseModel]) -> str:
    known = _known_fields(location[:-1], model)
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"remove it, or use one of {', '.join(known)}" if known else "remove it"


def _known_fields(parents: tuple[str | int, ...], model: type[BaseModel]) -> list[str]:
    """Names, as users write them, of the fields of the object at `parents`."""
    for part in parents:
        inner = next((f.annotation for f in model.model_fields.values() if f.alias == part), None)
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]
