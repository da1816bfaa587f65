"""Who holds what: stages, ranks, pods, GPUs, expert copies, lanes. Pure data; knows no reasons and no Kubernetes."""

from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class LaneSeat:
    """The rank of this stage that holds a lane; None while no rank has room for it."""

    lane: int
    rank: int | None


@dataclass(frozen=True, kw_only=True)
class StageLayout:
    """One stage's committed layout. The copies of an expert stand in their order of preference."""

    stage: int
    first_layer: int
    num_layers: int
    experts_per_layer: int
    seats: tuple[Seat, ...]
    copies: tuple[Copy, ...]
    lanes: tuple[LaneSeat, ...]
    masked: tuple[int, ...] = ()

    @property
    def ranks(self) -> tuple[int, ...]:
        return tuple(seat.rank for seat in self.seats)

    @property
    def experts(self) -> range:
        """Global ids of every expert of the stage's layers, hosted or not."""
        first = self.first_layer * self.experts_per_layer
        return range(first, first + self.num_layers * self.experts_per_layer)

    def hosts(self, expert: int) -> tuple[int, ...]:
        """Ranks that serve the expert, preferred first."""
        return tuple(c.rank for c in self.copies if c.expert == expert and c.state == "serving")

    def loading(self, expert: int) -> tuple[int, ...]:
        """Ranks that load the expert and do not serve it yet."""
        return tuple(c.rank for c in self.copies if c.expert == expert and c.state == "loading")

    def held(self, rank: int) -> tuple[int, ...]:
        """Experts that the rank serves or loads."""
        return tuple(c.expert for c in self.copies if c.rank == rank)

    def lanes_at(self, rank: int) -> tuple[int, ...]:
        return tuple(lane.lane for lane in self.lanes if lane.rank == rank)

    @property
    def coverage(self) -> int:
        """The least number of serving copies of any expert; 0 when one is lost."""
        counts = dict.fromkeys(self.experts, 0)
        for copy in self.copies:
            if copy.state == "serving" and copy.rank not in self.masked:
                counts[copy.expert] += 1
        return min(counts.values())


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One replica: a whole pipeline. Ranks are numbered once over all its stages."""

    stages: tuple[StageLayout, ...]
    experts_per_layer: int

    @property
    def ranks_per_stage(self) -> int:
        return len(self.stages[0].seats)

    @property
    def num_ranks(self) -> int:
        return sum(len(stage.seats) for stage in self.stages)
