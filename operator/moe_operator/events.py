"""Events on MoEDeployments and MoEStages: one per fact, named after the fact, so that a retry repeats none.

They are posted a moment after what they tell of: what mends a failure has the API server to itself first.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from datetime import datetime

from moe_api.conditions import Condition, find, rfc3339
from moe_api.names import ConditionType, Reason
from moe_operator import errors, resources
from moe_operator.api import Api, Json
from moe_operator.clock import Clock, sleep_or
from moe_operator.decide.actions import EVENT_MESSAGE_LIMIT, Event

logger = logging.getLogger(__name__)

COMPONENT = "moe-operator"
RETRY_SECONDS = (1.0, 5.0, 10.0, 20.0, 30.0)


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


class Herald:
    """Posts events, `hold_seconds` after they were given; at once where that is 0."""

    def __init__(self, api: Api, clock: Clock, *, hold_seconds: float = 0.0) -> None:
        self._api = api
        self._clock = clock
        self._hold_seconds = hold_seconds
        self._posts: set[asyncio.Task[None]] = set()
        self._is_closing = asyncio.Event()

    async def tell(self, about: Json, events: Iterable[Event], *, occasion: str) -> None:
        """Post these on the object. `occasion` (such as the epoch) keeps the same words at another time apart.

        Without hold raises what the API server does; else it is tried again, and some lines later given up.
        """
        bodies = [_body(about, event, occasion, self._clock.now()) for event in events]
        if not self._hold_seconds:
            await self._post(bodies)
        elif bodies:
            task = asyncio.create_task(self._post_later(bodies))
            self._posts.add(task)
            task.add_done_callback(self._posts.discard)

    async def close(self) -> None:
        """Post at once what is held, each thing once more at most."""
        self._is_closing.set()
        await asyncio.gather(*self._posts)

    async def _post_later(self, bodies: list[Json]) -> None:
        for seconds in (self._hold_seconds, *RETRY_SECONDS):
            await sleep_or(self._clock, seconds, self._is_closing)
            is_last = self._is_closing.is_set()
            try:
                await self._post(bodies)
            except errors.ApiError as error:
                reason = error
            else:
                return
            if is_last:
                break
        logger.warning("%s events could not be posted and are given up: %s", len(bodies), reason)

    async def _post(self, bodies: Iterable[Json]) -> None:
        await asyncio.gather(*map(self._create, bodies))

    async def _create(self, body: Json) -> None:
        try:
            await self._api.create(resources.EVENTS, body)
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
