"""What a change of a stage's layout moves. Pure data, shared by rehosting and going home."""

from dataclasses import dataclass

from moe_planner.layout import Copy, StageLayout


@dataclass(frozen=True, kw_only=True)
class Room:
    """What one rank can take at most. `experts_per_rank` None: as many as come."""

    lanes_per_rank: int
    experts_per_rank: int | None = None


@dataclass(frozen=True, kw_only=True)
class Move:
    """An expert that gets a new host. `from_rank` is the host it lost, None when it had none."""

    expert: int
    from_rank: int | None
    to_rank: int


@dataclass(frozen=True, kw_only=True)
class LaneMove:
    lane: int
    from_rank: int | None
    to_rank: int


@dataclass(frozen=True, kw_only=True)
class Rehosting:
    """The layout after a change. `lost_experts` and `homeless_lanes` are what the stage has no room for.

    `dropped` are copies that were given up so that other experts have a host at all, or hotter ones another.
    """

    layout: StageLayout
    moves: tuple[Move, ...]
    lane_moves: tuple[LaneMove, ...]
    lost_experts: tuple[int, ...]
    homeless_lanes: tuple[int, ...]
    dropped: tuple[Copy, ...] = ()


def moves_between(before: StageLayout, after: StageLayout) -> tuple[Move, ...]:
    """What has to be loaded on the way from one placement to the other, by expert."""
    moves = []
    for expert in before.experts:
        if before.copies_of(expert) == after.copies_of(expert):
            continue
        old, new = before.hosts(expert), after.hosts(expert)
        left = iter([rank for rank in old if rank not in new])
        gained = (rank for rank in new if rank not in old)
        moves += [Move(expert=expert, from_rank=next(left, None), to_rank=rank) for rank in gained]
    return tuple(moves)
