"""The way back to the plan's layout once ranks are usable again: load first, switch after, in two commits.

Pure: which ranks are available and which copies they have loaded is told. Moves nothing that is at home already.
"""

from collections import Counter
from collections.abc import Sequence
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
    serve and the temporary ones are dropped. While a planned host is not available, a copy elsewhere stands in for it,
    and serves once it is loaded. Nothing begins to load on a rank that holds as much as it has `room` for. A lane goes
    home when its planned rank has nothing left to load, and has room for it.
    """
    masked = tuple(rank for rank in stage.masked if rank not in available)
    usable = available - frozenset(masked)
    held = Counter([copy.rank for copy in stage.copies])
    limit = None if room is None else room.experts_per_rank
    copies: list[Copy] = []
    for expert in stage.experts:
        following = _next_copies(expert, stage, planned, usable, loaded)
        copies += _within_limit(stage.copies_of(expert), following, held, limit)
    still_loading = frozenset(copy.rank for copy in copies if copy.state == "loading")
    return replace(
        stage,
        masked=masked,
        copies=tuple(copies),
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
) -> Sequence[Copy]:
    """The planned hosts that may host, and as many others as the plan has that may not; all others until then."""
    serving, loading = stage.hosts(expert), stage.loading(expert)
    if serving == planned.hosts(expert) and not loading and usable.issuperset(serving):
        return stage.copies_of(expert)
    wanted = [rank for rank in planned.hosts(expert) if rank in usable]
    arrived = [rank for rank in wanted if rank in serving or not serving or (expert, rank) in loaded]
    missing = [rank for rank in wanted if rank not in arrived]
    others = [rank for rank in (*serving, *loading) if rank not in wanted]
    kept = others[: len(planned.hosts(expert)) - len(wanted)]
    if missing or not wanted:
        kept += [rank for rank in others if rank in serving and rank not in kept]
    standing_in = [rank for rank in kept if rank in serving or (expert, rank) in loaded]
    pending = [rank for rank in loading if rank in missing or (rank in kept and rank not in standing_in)]
    pending += [rank for rank in missing if rank not in loading]
    return [
        *(Copy(expert=expert, rank=rank) for rank in [*arrived, *standing_in]),
        *(Copy(expert=expert, rank=rank, state="loading") for rank in pending),
    ]


def _within_limit(
    before: Sequence[Copy], after: Sequence[Copy], held: Counter[int], limit: int | None
) -> Sequence[Copy]:
    """Without the new copies that would be more than a rank has room for; then the old ones all stay."""
    if limit is None or after is before:
        return after
    known = {copy.rank for copy in before}
    fitting = [copy for copy in after if copy.rank in known or held[copy.rank] < limit]
    held.update(copy.rank for copy in fitting if copy.rank not in known)
    return fitting if len(fitting) == len(after) or not before else _with_all(before, fitting)


def _with_all(before: Sequence[Copy], after: Sequence[Copy]) -> Sequence[Copy]:
    """The copies of both."""
    ranks = {copy.rank for copy in after}
    kept = [copy for copy in before if copy.rank not in ranks]
    return sorted((*after, *kept), key=lambda copy: copy.state == "loading")


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
