"""A stage's layout after ranks were lost, or after room came back: every expert and lane hosted with the fewest moves.

Pure and deterministic. Judges no evidence: which ranks are lost is told. Restores no extra copies.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from moe_planner.layout import Copy, LaneSeat, StageLayout
from moe_planner.moves import LaneMove, Move, Rehosting, Room


def rehost(stage: StageLayout, *, lost: frozenset[int], room: Room) -> Rehosting:
    """Mask the lost ranks and give what they alone hosted to others.

    An expert that still has a serving copy moves nothing. Else a copy that is being loaded becomes its host, else a
    rank that holds no expert, else the rank with the fewest (experts, lanes, number). A lane goes to the rank with the
    fewest (lanes, experts, number) that has room. Experts and lanes that were left without a host before get one too.
    `lost` ranks of other stages are ignored.
    """
    masked = frozenset(stage.masked) | (lost & frozenset(stage.ranks))
    alive = [rank for rank in stage.ranks if rank not in masked]
    kept = [copy for copy in stage.copies if copy.rank not in masked]
    copies, moves, lost_experts = _host_experts(stage, alive, kept, room)
    lanes, lane_moves = _seat_lanes(stage, alive, copies, room)
    return Rehosting(
        layout=replace(stage, copies=tuple(copies), lanes=lanes, masked=_in_order(stage, masked)),
        moves=tuple(moves),
        lane_moves=tuple(lane_moves),
        lost_experts=tuple(lost_experts),
        homeless_lanes=tuple(lane.lane for lane in lanes if lane.rank is None),
    )


def _in_order(stage: StageLayout, masked: frozenset[int]) -> tuple[int, ...]:
    """Those masked before keep their places, so that an unchanged layout is an equal one."""
    return stage.masked + tuple(sorted(masked - frozenset(stage.masked)))


def _host_experts(
    stage: StageLayout, alive: list[int], kept: list[Copy], room: Room
) -> tuple[list[Copy], list[Move], list[int]]:
    held = Counter(copy.rank for copy in kept)
    lanes = Counter(lane.rank for lane in stage.lanes)
    by_expert = _by_expert(kept)
    before = _by_expert(stage.copies)
    copies: list[Copy] = []
    moves: list[Move] = []
    lost: list[int] = []
    for expert in stage.experts:
        mine = by_expert.get(expert, [])
        if not any(copy.state == "serving" for copy in mine):
            host = _host(mine, alive, held, lanes, room)
            if host is None:
                lost.append(expert)
                continue
            if not mine:
                held[host] += 1
            mine = [Copy(expert=expert, rank=host), *(copy for copy in mine if copy.rank != host)]
            moves.append(Move(expert=expert, from_rank=_old_host(before.get(expert, [])), to_rank=host))
        copies.extend(mine)
    return copies, moves, lost


def _by_expert(copies: Iterable[Copy]) -> dict[int, list[Copy]]:
    grouped: dict[int, list[Copy]] = {}
    for copy in copies:
        grouped.setdefault(copy.expert, []).append(copy)
    return grouped


def _host(
    loading: list[Copy], alive: list[int], held: Counter[int], lanes: Counter[int | None], room: Room
) -> int | None:
    if loading:
        return loading[0].rank
    limit = room.experts_per_rank
    candidates = [rank for rank in alive if limit is None or held[rank] < limit]
    return min(candidates, key=lambda rank: (held[rank], lanes[rank], rank), default=None)


def _old_host(copies: list[Copy]) -> int | None:
    return next((copy.rank for copy in copies if copy.state == "serving"), None)


def _seat_lanes(
    stage: StageLayout, alive: list[int], copies: list[Copy], room: Room
) -> tuple[tuple[LaneSeat, ...], list[LaneMove]]:
    held = Counter(copy.rank for copy in copies)
    living = frozenset(alive)
    seated = Counter(lane.rank for lane in stage.lanes if lane.rank in living)
    lanes: list[LaneSeat] = []
    moves: list[LaneMove] = []
    for lane in stage.lanes:
        if lane.rank in living:
            lanes.append(lane)
            continue
        candidates = [rank for rank in alive if seated[rank] < room.lanes_per_rank]
        seat = min(candidates, key=lambda rank: (seated[rank], held[rank], rank), default=None)
        lanes.append(LaneSeat(lane=lane.lane, rank=seat))
        if seat is not None:
            seated[seat] += 1
            moves.append(LaneMove(lane=lane.lane, from_rank=lane.rank, to_rank=seat))
    return tuple(lanes), moves
