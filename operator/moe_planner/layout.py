"""Who holds what: stages, ranks, pods, GPUs, expert copies, lanes. Pure data; knows no reasons and no Kubernetes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

CopyState = Literal["serving", "loading"]


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One host of an expert (global id: layer * experts per layer + index). `loading` copies answer nothing yet."""

    expert: int
    rank: int
    state: CopyState = "serving"


@dataclass(frozen=True, kw_only=True)
class Seat:
    """One rank's place: `pod` is the node rank inside its stage (0..), `gpu` the index among that pod's GPUs.

    `node` is the node the plan prefers, None where it has no preference.
    """

    rank: int
    pod: int
    gpu: int
    node: str | None = None

    @property
    def domain(self) -> str:
        """What the seat dies with: its node, or its pod where no node is known."""
        return self.node if self.node is not None else f"pod {self.pod}"


@dataclass(frozen=True, kw_only=True)
class LaneSeat:
    """The rank of this stage that holds a lane; None while no rank has room for it."""

    lane: int
    rank: int | None


@dataclass(frozen=True, kw_only=True)
class StageLayout:
    """One stage's committed layout. The copies of an expert stand in their order of preference.

    `dense_layers` are those of the stage's layers that have no experts. What is looked up by expert or rank is
    indexed once, on the first look.
    """

    stage: int
    first_layer: int
    num_layers: int
    experts_per_layer: int
    seats: tuple[Seat, ...]
    copies: tuple[Copy, ...]
    lanes: tuple[LaneSeat, ...]
    masked: tuple[int, ...] = ()
    dense_layers: tuple[int, ...] = ()

    @cached_property
    def ranks(self) -> tuple[int, ...]:
        return tuple(seat.rank for seat in self.seats)

    @cached_property
    def experts(self) -> Sequence[int]:
        """Global ids of every expert of the stage's layers, hosted or not."""
        first, size = self.first_layer * self.experts_per_layer, self.experts_per_layer
        if not self.dense_layers:
            return range(first, first + self.num_layers * size)
        layers = range(self.first_layer, self.first_layer + self.num_layers)
        having = [layer for layer in layers if layer not in self.dense_layers]
        return tuple(expert for layer in having for expert in range(layer * size, (layer + 1) * size))

    def copies_of(self, expert: int) -> tuple[Copy, ...]:
        """Every copy of the expert, preferred first."""
        return self._by_expert.get(expert, ())

    def hosts(self, expert: int) -> tuple[int, ...]:
        """Ranks that serve the expert, preferred first."""
        return tuple(copy.rank for copy in self.copies_of(expert) if copy.state == "serving")

    def loading(self, expert: int) -> tuple[int, ...]:
        """Ranks that load the expert and do not serve it yet."""
        return tuple(copy.rank for copy in self.copies_of(expert) if copy.state == "loading")

    def held(self, rank: int) -> tuple[int, ...]:
        """Experts that the rank serves or loads."""
        return self._by_rank.get(rank, ())

    def lanes_at(self, rank: int) -> tuple[int, ...]:
        return self._lanes_by_rank.get(rank, ())

    def seat(self, rank: int) -> Seat:
        """The rank's seat. Raises KeyError for ranks of other stages."""
        return self._seats_by_rank[rank]

    @cached_property
    def coverage(self) -> int:
        """The least number of serving copies of any expert; 0 when one is lost. Without experts, nothing can be."""
        masked = frozenset(self.masked)
        counts = dict.fromkeys(self.experts, 0)
        for copy in self.copies:
            if copy.state == "serving" and copy.rank not in masked:
                counts[copy.expert] += 1
        return min(counts.values(), default=1)

    @cached_property
    def _by_expert(self) -> dict[int, tuple[Copy, ...]]:
        grouped: dict[int, list[Copy]] = {}
        for copy in self.copies:
            grouped.setdefault(copy.expert, []).append(copy)
        return {expert: tuple(copies) for expert, copies in grouped.items()}

    @cached_property
    def _by_rank(self) -> dict[int, tuple[int, ...]]:
        grouped: dict[int, list[int]] = {}
        for copy in self.copies:
            grouped.setdefault(copy.rank, []).append(copy.expert)
        return {rank: tuple(experts) for rank, experts in grouped.items()}

    @cached_property
    def _lanes_by_rank(self) -> dict[int, tuple[int, ...]]:
        grouped: dict[int, list[int]] = {}
        for lane in self.lanes:
            if lane.rank is not None:
                grouped.setdefault(lane.rank, []).append(lane.lane)
        return {rank: tuple(lanes) for rank, lanes in grouped.items()}

    @cached_property
    def _seats_by_rank(self) -> dict[int, Seat]:
        return {seat.rank: seat for seat in self.seats}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One replica: a whole pipeline. Ranks are numbered once over all its stages.

    A seat takes `gpus_per_seat` GPUs: its `gpu` is the first of them.
    """

    stages: tuple[StageLayout, ...]
    experts_per_layer: int
    gpus_per_seat: int = 1

    @property
    def ranks_per_stage(self) -> int:
        return len(self.stages[0].seats)

    @property
    def num_ranks(self) -> int:
        return sum(len(stage.seats) for stage in self.stages)
