"""What a commit moves, rank by rank: away from ranks that are lost, and back to ranks that host again."""

from __future__ import annotations

from collections.abc import Mapping

from moe_api.names import Reason
from moe_api.stage import MoEStageSpec
from moe_operator.decide.actions import Relocation
from moe_operator.decide.seats import Loss, Seats
from moe_planner.layout import StageLayout
from moe_planner.moves import LaneMove, Move, Rehosting


def failovers(
    spec: MoEStageSpec, next_spec: MoEStageSpec, losses: Mapping[int, Loss], rehosting: Rehosting
) -> list[Relocation]:
    """One per newly masked rank, with the experts and lanes that it lost to others."""
    before = {mask.rank for mask in spec.masked}
    return [
        Relocation(
            rank=mask.rank,
            reason=Reason(mask.reason),
            message=mask.message,
            node=mask.node,
            gpu=mask.gpu,
            since=losses[mask.rank].since,
            moves=tuple(move for move in rehosting.moves if move.from_rank == mask.rank),
            lane_moves=tuple(move for move in rehosting.lane_moves if move.from_rank == mask.rank),
        )
        for mask in next_spec.masked
        if mask.rank not in before and mask.rank in losses
    ]


def returns(before: StageLayout, after: StageLayout, seats: Seats) -> list[Relocation]:
    """One per rank to which experts or lanes go home with this commit."""
    moves = _switched(before, after)
    lane_moves = [
        LaneMove(lane=new.lane, from_rank=old.rank, to_rank=new.rank)
        for old, new in zip(before.lanes, after.lanes, strict=True)
        if new.rank is not None and new.rank != old.rank
    ]
    homes = sorted({move.to_rank for move in moves} | {move.to_rank for move in lane_moves})
    return [_return(rank, moves, lane_moves, seats) for rank in homes]


def _return(rank: int, moves: list[Move], lane_moves: list[LaneMove], seats: Seats) -> Relocation:
    seat = seats.seat(rank)
    pod = seats.pod(seat) if seat else None
    return Relocation(
        rank=rank,
        reason=Reason.EXPERT_RETURNED,
        message="the rank can host again",
        node=pod.node if pod else None,
        gpu=seat.gpu if seat else None,
        moves=tuple(move for move in moves if move.to_rank == rank),
        lane_moves=tuple(move for move in lane_moves if move.to_rank == rank),
    )


def _switched(before: StageLayout, after: StageLayout) -> list[Move]:
    """Experts that a rank begins to serve; `from_rank` is the host that is dropped for it, if any."""
    moves = []
    for expert in after.experts:
        new, old = after.hosts(expert), before.hosts(expert)
        dropped = [rank for rank in old if rank not in new]
        for rank in (rank for rank in new if rank not in old):
            moves.append(Move(expert=expert, from_rank=dropped[0] if dropped else None, to_rank=rank))
    return moves
