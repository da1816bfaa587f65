"""The way back to the plan's layout once ranks are usable again: load first, switch after, in two commits.

Pure: which ranks are available and which copies they have loaded is told. Moves nothing that is at home already.
"""

from collections import Counter
from dataclasses import replace

from moe_planner.layout import Copy, LaneSeat, StageLayout
from moe_planner.moves import Room


def home(
    stage: StageLayout,
    planned: StageLayout,
    *,
    available: frozenset[int],
    loaded: frozenset[tuple[int, int]] = frozenset(),
    room: Room | None = None,
) -> StageLayout:
    """The next layout towards `planned`; equal to `stage` when there is nothing to do.

    `available` are the ranks that may host, and they are unmasked. `loaded` are the (expert, rank) pairs that the
    ranks report as held. First the planned hosts load beside the temporary ones; told that they have loaded, they
    serve and the temporary ones are dropped. A lane goes home when its planned rank has nothing left to load, and has
    `room` for it.
    """
    masked = tuple(rank for rank in stage.masked if rank not in available)
    usable = available - frozenset(masked)
    copies = tuple(copy for expert in stage.experts for copy in _next_copies(expert, stage, planned, usable, loaded))
    still_loading = frozenset(copy.rank for copy in copies if copy.state == "loading")
    return replace(
        stage,
        masked=masked,
        copies=copies,
        lanes=_within(room, stage.lanes, _next_lanes(stage, planned, usable, still_loading)),
    )


def is_home(stage: StageLayout, planned: StageLayout) -> bool:
    """Whether every expert and lane is where the plan puts it, and nothing is masked."""
    return (
        not stage.masked
        and all(stage.hosts(e) == planned.hosts(e) and not stage.loading(e) for e in stage.experts)
        and stage.lanes == planned.lanes
    )


def _next_copies(
    expert: int,
    stage: StageLayout,
    planned: StageLayout,
    usable: frozenset[int],
    loaded: frozenset[tuple[int, int]],
) -> list[Copy]:
    serving, loading = stage.hosts(expert), stage.loading(expert)
    wanted = [rank for rank in planned.hosts(expert) if rank in usable]
    if not wanted:
        return [copy for copy in stage.copies if copy.expert == expert]
    arrived = [rank for rank in wanted if rank in serving or not serving or (expert, rank) in loaded]
    missing = [rank for rank in wanted if rank not in arrived]
    others = [rank for rank in serving if rank not in wanted]
    kept = others if missing else others[: len(planned.hosts(expert)) - len(wanted)]
    pending = [*(rank for rank in loading if rank in missing), *(rank for rank in missing if rank not in loading)]
    return [
        *(Copy(expert=expert, rank=rank) for rank in [*arrived, *kept]),
        *(Copy(expert=expert, rank=rank, state="loading") for rank in pending),
    ]


def _next_lanes(
    stage: StageLayout, planned: StageLayout, usable: frozenset[int], still_loading: frozenset[int]
) -> tuple[LaneSeat, ...]:
    homes = {lane.lane: lane.rank for lane in planned.lanes}
    return tuple(
        LaneSeat(lane=lane.lane, rank=homes[lane.lane])
        if homes[lane.lane] in usable and (lane.rank is None or homes[lane.lane] not in still_loading)
        else lane
        for lane in stage.lanes
    )


def _within(room: Room | None, before: tuple[LaneSeat, ...], after: tuple[LaneSeat, ...]) -> tuple[LaneSeat, ...]:
    """Take back the moves onto ranks that would get too many lanes; staying everywhere is always within the room."""
    while room is not None:
        seated = Counter(lane.rank for lane in after if lane.rank is not None)
        full = {rank for rank, lanes in seated.items() if lanes > room.lanes_per_rank}
        kept = tuple(old if new.rank in full else new for old, new in zip(before, after, strict=True))
        if kept == after:
            break
        after = kept
    return after
