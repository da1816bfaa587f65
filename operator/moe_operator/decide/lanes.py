"""When a lane that is to leave its rank moves: after failover.drainSeconds, so that its requests may end before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from moe_api.conditions import rfc3339_micro
from moe_api.moment import parse_moment
from moe_api.stage import LaneSpec, MoEStage, MoEStageSpec
from moe_planner.lanes import within_room
from moe_planner.layout import LaneSeat
from moe_planner.moves import Room


@dataclass(frozen=True, kw_only=True)
class Drain:
    """The lanes as they are to be now; `until` is when the next of those that are leaving may move."""

    lanes: tuple[LaneSpec, ...]
    until: datetime | None

    @property
    def seats(self) -> tuple[LaneSeat, ...]:
        return tuple(LaneSeat(lane=lane.lane, rank=lane.rank) for lane in self.lanes)


def drain(
    spec: MoEStageSpec, seated: Sequence[LaneSeat], wanted: Sequence[LaneSeat], room: Room, now: datetime
) -> Drain:
    """Every lane of `seated` on its `wanted` rank, once it has been leaving for long enough.

    `seated` are the lanes with those of lost ranks on others already: they have nothing left to end.
    """
    wait = timedelta(seconds=spec.failover.drain_seconds)
    since = {old.lane: _left_at(spec, old, new, now) for old, new in zip(seated, wanted, strict=True)}
    due = {lane for lane, moment in since.items() if moment is None or now >= moment + wait}
    moved = [new if new.lane in due else old for old, new in zip(seated, wanted, strict=True)]
    lanes = tuple(
        LaneSpec(lane=seat.lane, rank=seat.rank, leaving_since=_text(None if seat == goal else since[seat.lane]))
        for seat, goal in zip(within_room(room, seated, moved), wanted, strict=True)
    )
    return Drain(lanes=lanes, until=min((m + wait for lane, m in since.items() if m and lane not in due), default=None))


def draining_lanes(first: MoEStage, stages: Iterable[MoEStage]) -> list[int]:
    """The lanes that some stage of the replica is about to move, or has no rank for, where `first` is its first stage;
    else none.
    """
    if first.spec.stage != 0:
        return []
    ring = (stage.spec for stage in stages if stage.spec.replica == first.spec.replica)
    return sorted({lane.lane for spec in ring for lane in spec.lanes if lane.leaving_since or lane.rank is None})


def _left_at(spec: MoEStageSpec, seated: LaneSeat, wanted: LaneSeat, now: datetime) -> datetime | None:
    """Since when the lane has been leaving the rank it is on; None when it stays, or is on none."""
    if seated.rank is None or seated.rank == wanted.rank:
        return None
    known = next((one for one in spec.lanes if one.lane == seated.lane and one.rank == seated.rank), None)
    if known is None or known.leaving_since is None:
        return now
    return parse_moment(known.leaving_since)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339_micro(moment)
