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
