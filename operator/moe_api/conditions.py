"""Kubernetes conditions: the model, and an upsert whose transition time moves only when the status flips."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from moe_api.base import ApiModel

ConditionStatus = Literal["True", "False", "Unknown"]


class Condition(ApiModel):
    type: str = Field(max_length=316)
    """Kind of condition, e.g. Available."""
    status: ConditionStatus
    """Whether it holds."""
    reason: str = Field(default="", max_length=1024)
    """One word for the cause, stable over releases."""
    message: str = Field(default="", max_length=32768)
    """The cause for people, with values, rule and remedy."""
    observed_generation: int = 0
    """The metadata.generation that was judged."""
    last_transition_time: str = Field(default="", json_schema_extra={"format": "date-time"})
    """When the status last flipped."""


def rfc3339(moment: datetime) -> str:
    """Whole seconds, UTC, as Kubernetes writes metav1.Time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(moment: datetime) -> str:
    """Microseconds, UTC, as Kubernetes writes metav1.MicroTime."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    return next((c for c in conditions if c.type == type_), None)


def is_true(conditions: Iterable[Condition], type_: str) -> bool:
    found = find(conditions, type_)
    return found is not None and found.status == "True"


def upsert(conditions: Iterable[Condition], new: Condition, *, now: datetime) -> list[Condition]:
    """Replace the condition of the same type, or add it; the order of the others stays.

    `last_transition_time` is `now` when the status differs from before, else what it was.
    """
    before = list(conditions)
    old = find(before, new.type)
    flipped = old is None or old.status != new.status or not old.last_transition_time
    since = rfc3339(now) if flipped or old is None else old.last_transition_time
    timed = new.model_copy(update={"last_transition_time": since})
    if old is None:
        return [*before, timed]
    return [timed if c.type == new.type else c for c in before]
