"""Seats for lanes that must or should leave theirs: few lanes first, then few experts, never beyond the room."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush

from moe_planner.layout import LaneSeat
from moe_planner.moves import LaneMove, Room


def seat_lanes(
    lanes: Sequence[LaneSeat], ranks: Iterable[int], held: Counter[int], room: Room, avoid: frozenset[int] = frozenset()
) -> tuple[tuple[LaneSeat, ...], tuple[LaneMove, ...]]:
    """Every lane on one of the ranks, and the moves that takes; without a rank where none has room.

    Lanes that are on one of them already stay. `held` counts each rank's experts. `avoid` are taken last.
    """
    able = frozenset(ranks)
    if all(lane.rank in able for lane in lanes):
        return tuple(lanes), ()
    seated = Counter(lane.rank for lane in lanes if lane.rank in able)
    free = [(rank in avoid, seated[rank], held[rank], rank) for rank in able if seated[rank] < room.lanes_per_rank]
    heapify(free)
    seats, moves = [], []
    for lane in lanes:
        if lane.rank in able:
            seats.append(lane)
            continue
        if not free:
            seats.append(LaneSeat(lane=lane.lane, rank=None))
            continue
        last, number, experts, rank = heappop(free)
        if number + 1 < room.lanes_per_rank:
            heappush(free, (last, number + 1, experts, rank))
        seats.append(LaneSeat(lane=lane.lane, rank=rank))
        moves.append(LaneMove(lane=lane.lane, from_rank=lane.rank, to_rank=rank))
    return tuple(seats), tuple(moves)


def lanes_on_the_way(
    lanes: Sequence[LaneSeat],
    planned: Sequence[LaneSeat],
    *,
    usable: frozenset[int],
    leaving: frozenset[int],
    unready: frozenset[int],
    held: Counter[int],
    room: Room | None,
) -> tuple[LaneSeat, ...]:
    """Where each lane should be: at home when its planned rank is usable and not `unready`, else away from `leaving`.

    A lane that finds no better seat with room stays where it is.
    """
    homes = {lane.lane: lane.rank for lane in planned}
    wanted = tuple(_homeward(lane, homes[lane.lane], usable, unready) for lane in lanes)
    wanted = within_room(room, lanes, wanted)
    if room is None or not any(lane.rank in leaving for lane in wanted):
        return wanted
    away, _ = seat_lanes(wanted, usable, held, room)
    return tuple(new if new.rank is not None else old for old, new in zip(wanted, away, strict=True))


def within_room(room: Room | None, before: Sequence[LaneSeat], after: Sequence[LaneSeat]) -> tuple[LaneSeat, ...]:
    """Take back the moves onto ranks that would get too many lanes; staying everywhere is always within the room."""
    kept = tuple(after)
    while room is not None:
        seated = Counter(lane.rank for lane in kept if lane.rank is not None)
        full = {rank for rank, number in seated.items() if number > room.lanes_per_rank}
        if not any(new.rank in full and new != old for old, new in zip(before, kept, strict=True)):
            break
        kept = tuple(old if new.rank in full else new for old, new in zip(before, kept, strict=True))
    return kept


def _homeward(lane: LaneSeat, home: int | None, usable: frozenset[int], unready: frozenset[int]) -> LaneSeat:
    goes = home in usable and (lane.rank is None or home not in unready)
    return replace(lane, rank=home) if goes else lane
