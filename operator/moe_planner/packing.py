"""Experts on ranks while they are being placed: who holds what, what it costs, and where a copy may go.

The one mutable thing of the planner; it lives within one call. Knows loads and how far copies are apart, no goals.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from moe_planner.balance import activation
from moe_planner.layout import Copy, StageLayout
from moe_planner.loads import Rates


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A rank and the domains that it shares the fate of: its pod (a node), and its rack."""

    rank: int
    pod: str
    rack: str


@dataclass(frozen=True, kw_only=True)
class Weight:
    """What one copy of an expert adds to its rank, as shares of the mean rank: tokens in prefill, reads in decode."""

    prefill: float
    decode: float

    @property
    def larger(self) -> float:
        return max(self.prefill, self.decode)


class Packing:
    """A stage in the making. `most_held`: copies that a rank can take, None for any number."""

    def __init__(self, spots: Sequence[Spot], weights: Mapping[int, Weight], most_held: int | None) -> None:
        self.spots = {spot.rank: spot for spot in spots}
        self.weights = weights
        self.most_held = most_held
        self.num_pods = len({spot.pod for spot in spots})
        self.num_racks = len({spot.rack for spot in spots})
        self.hosts: dict[int, list[int]] = {expert: [] for expert in weights}
        self.held: dict[int, set[int]] = {spot.rank: set() for spot in spots}
        self.costs: dict[int, float] = {spot.rank: 0.0 for spot in spots}
        self._prefill = dict(self.costs)
        self._decode = dict(self.costs)

    def add(self, expert: int, rank: int) -> None:
        """Give the rank a copy of the expert."""
        self.hosts[expert].append(rank)
        self.held[rank].add(expert)
        self._weigh(rank, self.weights[expert], 1)

    def remove(self, expert: int, rank: int) -> None:
        """Take the rank's copy of the expert away."""
        self.hosts[expert].remove(rank)
        self.held[rank].remove(expert)
        self._weigh(rank, self.weights[expert], -1)

    def move(self, expert: int, source: int, target: int) -> None:
        """Give one rank's copy to another; it keeps its place in the order of preference."""
        place = self.hosts[expert].index(source)
        self.remove(expert, source)
        self.add(expert, target)
        self.hosts[expert].insert(place, self.hosts[expert].pop())

    def is_open(self, rank: int) -> bool:
        """Whether the rank can take one more copy of something."""
        return self.most_held is None or len(self.held[rank]) < self.most_held

    def cost_with(self, rank: int, added: int | None, removed: int | None) -> float:
        """The rank's cost if it got one expert and lost another."""
        prefill, decode = self._prefill[rank], self._decode[rank]
        if added is not None:
            prefill, decode = prefill + self.weights[added].prefill, decode + self.weights[added].decode
        if removed is not None:
            prefill, decode = prefill - self.weights[removed].prefill, decode - self.weights[removed].decode
        return max(prefill, decode)

    def closeness(self, expert: int, rank: int, *, without: int | None = None) -> tuple[int, int]:
        """How many other copies of the expert share the rank's pod, and how many its rack."""
        spot = self.spots[rank]
        others = [self.spots[host] for host in self.hosts[expert] if host != without]
        return sum(other.pod == spot.pod for other in others), sum(other.rack == spot.rack for other in others)

    def num_pods_of(self, expert: int) -> int:
        """In how many pods the expert is."""
        return len({self.spots[rank].pod for rank in self.hosts[expert]})

    def is_concentrated(self, expert: int) -> bool:
        """Whether one pod has all copies of the expert although it has several and there are other pods."""
        return len(self.hosts[expert]) > 1 and self.num_pods > 1 and self.num_pods_of(expert) == 1

    def copies(self) -> tuple[Copy, ...]:
        """Every copy, by expert and then by preference."""
        return tuple(Copy(expert=expert, rank=rank) for expert in sorted(self.hosts) for rank in self.hosts[expert])

    def _weigh(self, rank: int, weight: Weight, sign: int) -> None:
        self._prefill[rank] += sign * weight.prefill
        self._decode[rank] += sign * weight.decode
        self.costs[rank] = max(self._prefill[rank], self._decode[rank])


def weigh(wanted: Mapping[int, int], rates: Rates, *, ranks: int, batch: int) -> dict[int, Weight]:
    """The weight of one copy of each expert when it has as many as `wanted`; the mean rank is one without copies."""
    each = {expert: rates[expert] / number for expert, number in wanted.items()}
    reads = {expert: activation(rate, batch) for expert, rate in each.items()}
    tokens = sum(wanted[expert] * each[expert] for expert in wanted) / ranks or 1.0
    read = sum(activation(rates[expert], batch) for expert in wanted) / ranks or 1.0
    return {expert: Weight(prefill=each[expert] / tokens, decode=reads[expert] / read) for expert in wanted}


def spots_of(stage: StageLayout, racks: Mapping[str, str] | None = None) -> tuple[Spot, ...]:
    """The living ranks of a stage. `racks` is by node; without it a stage is one rack."""
    masked = frozenset(stage.masked)
    known = racks or {}
    return tuple(
        Spot(rank=seat.rank, pod=seat.domain, rack=known.get(seat.node or "", ""))
        for seat in stage.seats
        if seat.rank not in masked
    )


def packing_of(
    stage: StageLayout, weights: Mapping[int, Weight], spots: Iterable[Spot], most_held: int | None
) -> Packing:
    """The stage as it is, on those spots."""
    packing = Packing(tuple(spots), weights, most_held)
    for copy in stage.copies:
        if copy.rank in packing.spots:
            packing.add(copy.expert, copy.rank)
    return packing
