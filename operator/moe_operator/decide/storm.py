"""The breaker: when so many GPUs of a replica fail at once, the cause is hardly the GPUs, and nothing is moved.

Judges by the reports of all the replica's pods, so that every stage comes to the same verdict by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from moe_api.conditions import rfc3339
from moe_api.moment import moment_of
from moe_api.stage import MoEStageSpec, PauseSpec
from moe_operator.snapshot import Pod

AT_ONCE = timedelta(seconds=30)
FEW = 2
"""So many failed GPUs are never a storm; with so few left the breaker closes."""


def next_pause(spec: MoEStageSpec, pods: Iterable[Pod], has_new_failure: bool, now: datetime) -> PauseSpec | None:
    """Whether the breaker is open now, and since when. `pods` are all of the replica's living ones.

    It opens with a new failure of the stage's own. It closes when no more than two of the GPUs that opened it still
    fail, or when a person says by failover.breakerReleased that the failures until then are to be acted on.
    """
    begun = now if spec.paused is None else moment_of(spec.paused.since) or now
    recent = num_failures(pods, after=max(begun - AT_ONCE, _released(spec, begun - AT_ONCE)))
    if spec.paused is not None:
        return spec.paused if recent > FEW else None
    total = spec.stages * spec.ranks_per_stage
    if not has_new_failure or recent <= FEW or recent < spec.failover.breaker_share * total:
        return None
    message = (
        f"{recent} of {total} GPUs failed within {AT_ONCE.seconds} s (failover.breakerShare ="
        f" {spec.failover.breaker_share:g}): nothing is moved; mend the cause, or have the failures acted on with"
        f" failover.breakerReleased: {rfc3339(now + timedelta(seconds=1))}"
    )
    return PauseSpec(since=rfc3339(now), message=message)


def num_failures(pods: Iterable[Pod], *, after: datetime) -> int:
    """GPUs that fail now and began to after that time."""
    seats = (seat for pod in pods if pod.report and not pod.report.error for seat in pod.report.seats)
    return sum(1 for seat in seats if seat.is_failed and (moment_of(seat.since) or after) > after)


def _released(spec: MoEStageSpec, otherwise: datetime) -> datetime:
    return moment_of(spec.failover.breaker_released or "") or otherwise
