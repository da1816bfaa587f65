"""Events on MoEDeployments and MoEStages: one per fact, named after the fact, so that a retry repeats none."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from datetime import datetime

from moe_api.conditions import Condition, find, rfc3339
from moe_api.names import ConditionType, Reason
from moe_operator import errors, resources
from moe_operator.api import Api, Json
from moe_operator.decide.actions import EVENT_MESSAGE_LIMIT, Event

COMPONENT = "moe-operator"


def reference(obj: Json) -> Json:
    """The object an event is about."""
    metadata = obj["metadata"]
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }


def controller_reference(obj: Json) -> Json | None:
    """The controller of an object, as the object of an event."""
    for owner in obj["metadata"].get("ownerReferences", []):
        if owner.get("controller"):
            kept = {key: owner[key] for key in ("apiVersion", "kind", "name", "uid")}
            return kept | {"namespace": obj["metadata"]["namespace"]}
    return None


def condition_events(before: Iterable[Condition], after: Iterable[Condition]) -> list[Event]:
    """One event for each condition whose status or reason changed; progress is no news.

    Of places that are not known, another list of them is news too.
    """
    known = list(before)
    events = []
    for condition in after:
        old = find(known, condition.type)
        is_same = old is not None and _gist(old) == _gist(condition)
        if is_same or condition.type == ConditionType.PROGRESSING or _is_quiet_start(old, condition):
            continue
        is_warning = (condition.status == "True") == (condition.type == ConditionType.DEGRADED)
        events.append(Event(reason=Reason(condition.reason), message=condition.message, is_warning=is_warning))
    return events


async def post(api: Api, about: Json, events: Iterable[Event], *, occasion: str, now: datetime) -> None:
    """Create the events. `occasion` (such as the epoch) keeps the same words at another time apart."""
    await asyncio.gather(*(_post(api, _body(about, event, occasion, now)) for event in events))


async def _post(api: Api, body: Json) -> None:
    try:
        await api.create(resources.EVENTS, body)
    except errors.Conflict:
        return  # It was told before, by a pass that was cut off after telling.


def _gist(condition: Condition) -> tuple[str, ...]:
    told = (condition.message,) if condition.reason == Reason.UNKNOWN_PLACE else ()
    return (condition.status, condition.reason, *told)


def _is_quiet_start(old: Condition | None, new: Condition) -> bool:
    """A new object that is not available yet, or not degraded, is as expected, and so are places that are there."""
    if new.type == ConditionType.PLACES_KNOWN:
        return old is None and new.status == "True"
    return old is None and new.type != ConditionType.PLANNED and (new.status == "False")


def _body(about: Json, event: Event, occasion: str, now: datetime) -> Json:
    fact = "\n".join((about["uid"], event.reason, event.message, occasion))
    digest = hashlib.sha256(fact.encode()).hexdigest()[:16]
    moment = rfc3339(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{about['name']}.{digest}", "namespace": about["namespace"]},
        "involvedObject": about,
        "type": "Warning" if event.is_warning else "Normal",
        "reason": str(event.reason),
        "message": event.message[:EVENT_MESSAGE_LIMIT],
        "source": {"component": COMPONENT},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
