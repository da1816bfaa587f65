"""The record of the last moves on a MoEStage: what moved because of what, and how long it took."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from moe_api.conditions import rfc3339_micro
from moe_api.moment import moment_of
from moe_api.stage import MoveStatus
from moe_operator.decide.actions import Relocation
from moe_operator.decide.seats import Seats

KEPT_MOVES = 16


def next_moves(
    before: list[MoveStatus], relocations: Iterable[Relocation], seats: Seats, *, seen: datetime, now: datetime
) -> list[MoveStatus]:
    """The moves so far with those now loaded, and the new ones; the last 16.

    `seen` is when the operator began to look at what it has just committed, `now` when that was through.
    """
    moves = [*before, *(_move(relocation, seen, now) for relocation in relocations)]
    return [_with_load(move, seats, now) for move in moves][-KEPT_MOVES:]


def _move(relocation: Relocation, seen: datetime, now: datetime) -> MoveStatus:
    targets = [move.to_rank for move in relocation.moves] + [move.to_rank for move in relocation.lane_moves]
    return MoveStatus(
        time=rfc3339_micro(now),
        cause=f"{relocation.reason}: {relocation.message}",
        rank=relocation.rank,
        node=relocation.node,
        gpu=relocation.gpu,
        experts=[move.expert for move in relocation.moves],
        lanes=[move.lane for move in relocation.lane_moves],
        to_ranks=list(dict.fromkeys(targets)),
        detect_ms=_milliseconds_since(relocation.since, seen),
        commit_ms=_milliseconds(now - seen),
    )


def _with_load(move: MoveStatus, seats: Seats, now: datetime) -> MoveStatus:
    """`load_ms` is filled in once, when each expert of the move is held by one of its new hosts."""
    if move.load_ms is not None or not move.experts:
        return move
    if not all(any(seats.holds(rank, expert) for rank in move.to_ranks) for expert in move.experts):
        return move
    return move.model_copy(update={"load_ms": _milliseconds_since(move.time, now)})


def _milliseconds_since(moment: str, now: datetime) -> int | None:
    """From an RFC 3339 time to now, never below 0; None where there is no such time."""
    then = moment_of(moment)
    return None if then is None else _milliseconds(now - then)


def _milliseconds(span: timedelta) -> int:
    return max(0, round(span.total_seconds() * 1000))
