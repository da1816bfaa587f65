"""The way to the plan's layout on the ranks that may host: load first, switch after, in two commits.

Pure: which ranks are available, which should be left and which copies have loaded is told. Moves nothing that is at
home already, and chooses no other hosts than the planned ones: copies.restored does.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from moe_planner.lanes import lanes_on_the_way
from moe_planner.layout import Copy, StageLayout
from moe_planner.moves import Room


def home(
    stage: StageLayout,
    planned: StageLayout,
    *,
    available: frozenset[int],
    leaving: frozenset[int] = frozenset(),
    loaded: frozenset[tuple[int, int]] = frozenset(),
    failing: frozenset[tuple[int, int]] = frozenset(),
    room: Room | None = None,
    at_once: int | None = None,
) -> StageLayout:
    """The next layout towards `planned`; equal to `stage` when there is nothing to do.

    `available` are the ranks that are able to host, and they are unmasked; `leaving` are those of them that should not.
    `loaded` are the (expert, rank) pairs that the ranks report as held, `failing` those that they could not load yet:
    they are tried again, and no other load waits for them. First the planned hosts load beside the
    temporary ones; told that they have loaded, they serve and the temporary ones are dropped. While a planned host may
    not host, a copy elsewhere stands in for it, and serves once it is loaded; a copy on a leaving rank serves until
    then. Where no rank is left that could take it, it goes only if another host serves the expert. Nothing begins to
    load on a rank that holds as much as it has `room` for, nor beyond `at_once` loads in the stage. A lane goes home
    when its planned rank has nothing left to load, and has room for it.
    """
    masked = tuple(rank for rank in stage.masked if rank not in available)
    usable = available - frozenset(masked) - leaving
    way = _Way(stage, planned, usable, loaded, room)
    copies = _with_new_loads([way.step(expert) for expert in stage.experts], way, failing, at_once)
    still_loading = frozenset(copy.rank for copy in copies if copy.state == "loading")
    lanes = lanes_on_the_way(
        stage.lanes,
        planned.lanes,
        usable=usable,
        leaving=leaving,
        unready=still_loading,
        held=Counter(copy.rank for copy in copies),
        room=room,
    )
    return replace(stage, masked=masked, copies=copies, lanes=lanes)


def is_home(stage: StageLayout, planned: StageLayout) -> bool:
    """Whether every expert and lane is where the plan puts it, and nothing is masked."""
    return (
        not stage.masked
        and all(stage.hosts(e) == planned.hosts(e) and not stage.loading(e) for e in stage.experts)
        and stage.lanes == planned.lanes
    )


@dataclass(frozen=True, kw_only=True)
class _Step:
    """One expert's next hosts, and the ranks that should begin to load it."""

    expert: int
    serving: tuple[int, ...]
    loading: tuple[int, ...]
    to_load: tuple[int, ...] = ()


class _Way:
    """What one look at a stage knows; `held` grows with what is given."""

    def __init__(
        self,
        stage: StageLayout,
        planned: StageLayout,
        usable: frozenset[int],
        loaded: frozenset[tuple[int, int]],
        room: Room | None,
    ) -> None:
        self._stage = stage
        self._planned = planned
        self._usable = usable
        self._loaded = loaded
        self._limit = None if room is None else room.experts_per_rank
        self._held = Counter(copy.rank for copy in stage.copies)

    def step(self, expert: int) -> _Step:
        """The planned hosts that may host, and as many others as the plan has that may not; all others until then."""
        serving, loading = self._stage.hosts(expert), self._stage.loading(expert)
        planned = self._planned.hosts(expert)
        if serving == planned and not loading and self._usable.issuperset(serving):
            return _Step(expert=expert, serving=serving, loading=loading)
        held = (*serving, *loading)
        wanted = [r for r in planned if r in self._usable and (r in held or self.has_room(r))]
        others = [rank for rank in held if rank in self._usable and rank not in wanted]
        target = [*wanted, *others[: len(planned) - len(wanted)]]
        if not serving:
            return self._begin(expert, wanted, [rank for rank in target if rank not in wanted])
        settled = [rank for rank in target if rank in serving or (expert, rank) in self._loaded]
        until_then = [] if len(settled) >= len(planned) else [rank for rank in serving if rank not in target]
        if settled and set(settled) == set(target) and self._is_everywhere(held):
            until_then = []
        return _Step(
            expert=expert,
            serving=(*settled, *until_then),
            loading=tuple(rank for rank in loading if rank in target and rank not in settled),
            to_load=tuple(rank for rank in wanted if rank not in held),
        )

    def has_room(self, rank: int) -> bool:
        return self._limit is None or self._held[rank] < self._limit

    def give(self, rank: int) -> None:
        self._held[rank] += 1

    def _begin(self, expert: int, wanted: list[int], loading: list[int]) -> _Step:
        """An expert that nobody serves is served at home at once: the requests for it wait there as well as here."""
        for rank in wanted:
            self.give(rank)
        return _Step(expert=expert, serving=tuple(wanted), loading=tuple(loading))

    def _is_everywhere(self, held: Iterable[int]) -> bool:
        """Whether no further rank that may host could take a copy."""
        return not any(rank not in held and self.has_room(rank) for rank in self._usable)


def _with_new_loads(
    steps: list[_Step], way: _Way, failing: frozenset[tuple[int, int]], at_once: int | None
) -> tuple[Copy, ...]:
    """All copies after the steps, the loads that may begin among them: those of the fewest hosts first."""
    under_way = sum((step.expert, rank) not in failing for step in steps for rank in step.loading)
    begun: dict[int, list[int]] = {}
    waiting = sorted((len(step.serving), step.expert, rank) for step in steps for rank in step.to_load)
    for _, expert, rank in waiting:
        if (at_once is None or under_way < at_once) and way.has_room(rank):
            way.give(rank)
            under_way += 1
            begun.setdefault(expert, []).append(rank)
    return tuple(copy for step in steps for copy in _copies(step, begun.get(step.expert, [])))


def _copies(step: _Step, begun: list[int]) -> Iterable[Copy]:
    for rank in step.serving:
        yield Copy(expert=step.expert, rank=rank)
    for rank in (*step.loading, *begun):
        yield Copy(expert=step.expert, rank=rank, state="loading")
