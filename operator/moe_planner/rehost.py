"""A stage's layout after ranks were lost, or after room came back: all experts and lanes hosted, with fewest moves.

Pure and deterministic. Judges no evidence: which ranks are lost is told. Restores no extra copies (copies.missing
does), but gives one up where an expert would be without any host.
"""

from collections import Counter
from dataclasses import replace
from heapq import heapify, heappop, heappush
from operator import attrgetter

from moe_planner.lanes import seat_lanes
from moe_planner.layout import Copy, StageLayout
from moe_planner.loads import Rates
from moe_planner.moves import Move, Rehosting, Room


def rehost(
    stage: StageLayout,
    *,
    lost: frozenset[int],
    room: Room,
    rates: Rates | None = None,
    planned: StageLayout | None = None,
    avoid: frozenset[int] = frozenset(),
) -> Rehosting:
    """Mask the lost ranks and give what they alone hosted to others.

    An expert that still has a serving copy moves nothing. Else a copy that is being loaded becomes its host, else its
    `planned` rank, else a rank that holds no expert, else the rank with the fewest (experts, lanes, number), or by
    `rates` the least (tokens, lanes, number). Where no rank has room, a copy of an expert that has others makes way. A
    lane goes to the rank with the fewest (lanes, experts, number) that has room. Ranks to `avoid` are taken last.
    Experts and lanes that were left without a host before get one too. `lost` ranks of other stages are ignored.
    """
    masked = frozenset(stage.masked) | (lost & frozenset(stage.ranks))
    kept = [copy for copy in stage.copies if copy.rank not in masked]
    served = {copy.expert for copy in kept if copy.state == "serving"}
    orphans = [expert for expert in stage.experts if expert not in served]
    hosting = _Hosting(stage, masked, kept, frozenset(orphans), room, rates, planned or stage, avoid)
    moves = [move for move in map(hosting.host, orphans) if move is not None]
    copies = hosting.copies() if moves or len(kept) < len(stage.copies) else stage.copies
    alive = [rank for rank in stage.ranks if rank not in masked]
    lanes, lane_moves = seat_lanes(stage.lanes, alive, hosting.held, room, avoid)
    moved = {move.expert for move in moves}
    return Rehosting(
        layout=replace(stage, copies=copies, lanes=lanes, masked=_in_order(stage, masked)),
        moves=tuple(moves),
        lane_moves=lane_moves,
        lost_experts=tuple(expert for expert in orphans if expert not in moved),
        homeless_lanes=tuple(lane.lane for lane in lanes if lane.rank is None),
        dropped=tuple(hosting.dropped),
    )


def _in_order(stage: StageLayout, masked: frozenset[int]) -> tuple[int, ...]:
    """Those masked before keep their places, so that an unchanged layout is an equal one."""
    return stage.masked + tuple(sorted(masked - frozenset(stage.masked)))


class _Hosting:
    """The copies that are left, while experts without a host are given one after the other."""

    def __init__(
        self,
        stage: StageLayout,
        masked: frozenset[int],
        kept: list[Copy],
        orphans: frozenset[int],
        room: Room,
        rates: Rates | None,
        planned: StageLayout,
        avoid: frozenset[int],
    ) -> None:
        self._stage = stage
        self._planned = planned
        self._avoid = avoid
        self._masked = masked
        self._kept = kept
        self._rates = rates
        self._limit = room.experts_per_rank
        self._before: dict[int, list[Copy]] = {expert: [] for expert in orphans}
        for copy in [copy for copy in stage.copies if copy.expert in orphans]:
            self._before[copy.expert].append(copy)
        self._given: dict[int, tuple[Copy, ...]] = {}
        self.held = Counter([copy.rank for copy in kept])
        self._free: list[tuple[bool, float, int, int]] | None = None
        self._may_make_way = True
        self.dropped: list[Copy] = []

    def host(self, expert: int) -> Move | None:
        """Give the expert a host, None where nobody can take it."""
        before = self._before[expert]
        loading = [copy for copy in before if copy.rank not in self._masked]
        rank = loading[0].rank if loading else self._take(expert)
        if rank is None:
            return None
        self._given[expert] = (Copy(expert=expert, rank=rank), *(copy for copy in loading if copy.rank != rank))
        if not loading:
            self._put(rank, expert)
        lost = next((copy.rank for copy in before if copy.state == "serving"), None)
        return Move(expert=expert, from_rank=lost, to_rank=rank)

    def copies(self) -> tuple[Copy, ...]:
        """All copies, by expert and in their order of preference."""
        kept = [copy for copy in self._left() if copy.expert not in self._given]
        given = (copy for copies in self._given.values() for copy in copies)
        return tuple(sorted((*kept, *given), key=attrgetter("expert")))

    def _left(self) -> list[Copy]:
        gone = frozenset(self.dropped)
        return [copy for copy in self._kept if copy not in gone] if gone else self._kept

    def _take(self, expert: int) -> int | None:
        """The rank to host one more expert: its planned one, else the first in line that has room."""
        if self._free is None:
            self._free = self._line()
        for rank in self._planned.hosts(expert):
            if rank not in self._masked and rank not in self._avoid and self._has_room(rank):
                return rank
        while self._free:
            _, load, _, rank = heappop(self._free)
            if load == self._loads[rank] and self._has_room(rank):
                return rank
        return self._make_way()

    def _has_room(self, rank: int) -> bool:
        return self._limit is None or self.held[rank] < self._limit

    def _put(self, rank: int, expert: int) -> None:
        self.held[rank] += 1
        if self._free is not None:
            load = self.held[rank] if self._rates is None else self._loads[rank] + self._rates[expert]
            self._loads[rank] = load
            heappush(self._free, (rank in self._avoid, load, self._lanes[rank], rank))

    def _line(self) -> list[tuple[bool, float, int, int]]:
        """The living ranks, as a heap by how much each has to do."""
        self._lanes = Counter(lane.rank for lane in self._stage.lanes)
        self._loads: dict[int, float] = dict.fromkeys(self._stage.ranks, 0.0)
        if self._rates is None:
            self._loads.update(self.held)
        else:
            hosts = Counter(copy.expert for copy in self._kept)
            for copy in self._kept:
                self._loads[copy.rank] += self._rates[copy.expert] / hosts[copy.expert]
        line = [
            (rank in self._avoid, self._loads[rank], self._lanes[rank], rank)
            for rank in self._stage.ranks
            if rank not in self._masked
        ]
        heapify(line)
        return line

    def _make_way(self) -> int | None:
        """A rank whose copy of an expert with other hosts was given up: of the expert that has the most.

        The rank then holds as many as before, even where that is more than it has room for by the plan.
        """
        if not self._may_make_way:
            return None
        left = [copy for copy in self._left() if copy.expert not in self._given]
        serving = Counter(copy.expert for copy in left if copy.state == "serving")
        spare = [copy for copy in left if serving[copy.expert] > (copy.state == "serving")]
        if not spare:
            self._may_make_way = False
            return None
        dropped = min(spare, key=lambda copy: (copy.state == "serving", -serving[copy.expert], copy.expert, copy.rank))
        self.dropped.append(dropped)
        self.held[dropped.rank] -= 1
        return dropped.rank
