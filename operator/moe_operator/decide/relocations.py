"""What a commit moves, rank by rank: away from ranks that are lost or left, and to ranks that host again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moe_api.convert import stage_layout
from moe_api.names import Reason
from moe_api.stage import MaskedRank, MoEStageSpec
from moe_operator.decide.actions import Relocation
from moe_operator.decide.leaving import Leaving
from moe_operator.decide.seats import Loss, Seats
from moe_planner.layout import StageLayout
from moe_planner.moves import LaneMove, Move


def relocations(
    seats: Seats, next_spec: MoEStageSpec, losses: Mapping[int, Loss], leaving: Mapping[int, Leaving]
) -> list[Relocation]:
    """One per newly masked rank, whether it held anything or not, one per rank left, and one per rank that gains."""
    spec = seats.snapshot.stage.spec
    before, after = stage_layout(spec), stage_layout(next_spec)
    moves, lane_moves = _switched(before, after), _lanes_moved(before, after)
    known = {mask.rank for mask in spec.masked}
    masks = [mask for mask in next_spec.masked if mask.rank not in known and mask.rank in losses]
    failed = {mask.rank for mask in masks}
    origins_of_moves = {*(move.from_rank for move in moves), *(move.from_rank for move in lane_moves)}
    left = sorted(rank for rank in origins_of_moves if rank is not None and rank in leaving and rank not in failed)
    origins = failed.union(left)
    gains = [move for move in moves if move.from_rank not in origins]
    lane_gains = [move for move in lane_moves if move.from_rank not in origins]
    gaining = sorted({*(move.to_rank for move in gains), *(move.to_rank for move in lane_gains)})
    return [
        *(_failover(mask, losses[mask.rank], moves, lane_moves) for mask in masks),
        *(_evacuation(leaving[rank], moves, lane_moves) for rank in left),
        *(_gain(rank, gains, lane_gains, before, seats) for rank in gaining),
    ]


def _failover(mask: MaskedRank, loss: Loss, moves: Sequence[Move], lane_moves: Sequence[LaneMove]) -> Relocation:
    return Relocation(
        rank=mask.rank,
        reason=Reason(mask.reason),
        message=mask.message,
        node=mask.node,
        gpu=mask.gpu,
        since=loss.since,
        moves=tuple(move for move in moves if move.from_rank == mask.rank),
        lane_moves=tuple(move for move in lane_moves if move.from_rank == mask.rank),
    )


def _evacuation(leaving: Leaving, moves: Sequence[Move], lane_moves: Sequence[LaneMove]) -> Relocation:
    return Relocation(
        rank=leaving.rank,
        reason=leaving.reason,
        message=leaving.message,
        node=leaving.node,
        gpu=leaving.gpu,
        is_planned=True,
        moves=tuple(move for move in moves if move.from_rank == leaving.rank),
        lane_moves=tuple(move for move in lane_moves if move.from_rank == leaving.rank),
    )


def _gain(
    rank: int, moves: Sequence[Move], lane_moves: Sequence[LaneMove], before: StageLayout, seats: Seats
) -> Relocation:
    seat = seats.seat(rank)
    pod = seats.pod(seat) if seat else None
    gained = tuple(move for move in moves if move.to_rank == rank)
    lanes = tuple(move for move in lane_moves if move.to_rank == rank)
    is_copy = not lanes and all(move.from_rank is None and before.hosts(move.expert) for move in gained)
    return Relocation(
        rank=rank,
        reason=Reason.COPY_ADDED if is_copy else Reason.EXPERT_RETURNED,
        message="another copy is loaded" if is_copy else "the plan has it there",
        node=pod.node if pod else None,
        gpu=seat.gpu if seat else None,
        is_planned=True,
        moves=gained,
        lane_moves=lanes,
    )


def _switched(before: StageLayout, after: StageLayout) -> list[Move]:
    """Experts that a rank begins to serve; `from_rank` is the host that is dropped for it, if any."""
    moves = []
    for expert in after.experts:
        new, old = after.hosts(expert), before.hosts(expert)
        dropped = [rank for rank in old if rank not in new]
        for rank in (rank for rank in new if rank not in old):
            moves.append(Move(expert=expert, from_rank=dropped.pop(0) if dropped else None, to_rank=rank))
    return moves


def _lanes_moved(before: StageLayout, after: StageLayout) -> list[LaneMove]:
    return [
        LaneMove(lane=new.lane, from_rank=old.rank, to_rank=new.rank)
        for old, new in zip(before.lanes, after.lanes, strict=True)
        if new.rank is not None and new.rank != old.rank
    ]
