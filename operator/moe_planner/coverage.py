"""How much may die before an expert is without a host, and whether what dies can be hosted again. Exact, by counting.

A loss without a load needs copies; a loss that is healed by loading needs room. Knows no probabilities and no times.
"""

from collections import Counter
from dataclasses import dataclass

from moe_planner.layout import Layout, StageLayout
from moe_planner.moves import Room


@dataclass(frozen=True, kw_only=True)
class Headroom:
    """What is left of a stage's room after the worst loss of one kind, in experts and in lanes; `at` names the loss.

    Negative: so many experts or lanes find no room. None: there is no limit. Exact where no rank holds more than it
    has room for.
    """

    experts: int | None
    lanes: int
    at: str

    @property
    def is_enough(self) -> bool:
        return (self.experts is None or self.experts >= 0) and self.lanes >= 0


@dataclass(frozen=True, kw_only=True)
class StageCoverage:
    """One stage. `copies`: the least serving copies of any expert.

    Any `gpus_to_lose` of its GPUs and any `nodes_to_lose` of its nodes may die, and every expert is still served
    without a load; one more of the wrong ones, and one is not. `critical_*` are those whose death alone does it.
    `gpu_headroom` and `node_headroom`: whether what any one of them held finds room on the others. None: not asked.
    """

    stage: int
    num_nodes: int
    copies: int
    gpus_to_lose: int
    nodes_to_lose: int
    critical_ranks: tuple[int, ...]
    critical_nodes: tuple[str, ...]
    uncovered: tuple[int, ...]
    gpu_headroom: Headroom | None = None
    node_headroom: Headroom | None = None


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """A replica: the weakest of its stages counts. Stages without experts have nothing to uncover."""

    stages: tuple[StageCoverage, ...]

    @property
    def copies(self) -> int:
        return min((stage.copies for stage in self.stages), default=0)

    @property
    def gpus_to_lose(self) -> int:
        return min((stage.gpus_to_lose for stage in self.stages), default=0)

    @property
    def nodes_to_lose(self) -> int:
        return min((stage.nodes_to_lose for stage in self.stages), default=0)

    @property
    def critical_ranks(self) -> tuple[int, ...]:
        return tuple(rank for stage in self.stages for rank in stage.critical_ranks)

    @property
    def critical_nodes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(node for stage in self.stages for node in stage.critical_nodes))


def coverage(layout: Layout, room: Room | None = None) -> Coverage:
    """What the replica survives; with `room` also what it can heal."""
    return Coverage(stages=tuple(stage_coverage(stage, room) for stage in layout.stages if stage.experts))


def stage_coverage(stage: StageLayout, room: Room | None = None) -> StageCoverage:
    """What the stage survives; with `room` also what it can heal."""
    domains = {seat.rank: domain_of(stage, seat.rank) for seat in stage.seats}
    masked = frozenset(stage.masked)
    hosts = {expert: [rank for rank in stage.hosts(expert) if rank not in masked] for expert in stage.experts}
    nodes = {expert: {domains[rank] for rank in ranks} for expert, ranks in hosts.items()}
    alone = {ranks[0] for ranks in hosts.values() if len(ranks) == 1}
    critical = {next(iter(names)) for names in nodes.values() if len(names) == 1}
    copies = min(map(len, hosts.values()), default=0)
    alive = [domains[rank] for rank in stage.ranks if rank not in masked]
    fullest, most = max(Counter(alive).items(), key=lambda item: item[1], default=("", 0))
    return StageCoverage(
        stage=stage.stage,
        num_nodes=len(set(domains.values())),
        copies=copies,
        gpus_to_lose=max(0, copies - 1),
        nodes_to_lose=max(0, min(map(len, nodes.values()), default=0) - 1),
        critical_ranks=tuple(rank for rank in stage.ranks if rank in alone),
        critical_nodes=tuple(name for name in dict.fromkeys(domains.values()) if name in critical),
        uncovered=tuple(expert for expert, ranks in hosts.items() if not ranks),
        gpu_headroom=None if room is None or not alive else _headroom(stage, room, len(alive), 1, "any GPU"),
        node_headroom=None if room is None or not alive else _headroom(stage, room, len(alive), most, fullest),
    )


def coverage_notes(covered: Coverage) -> tuple[str, ...]:
    """Which losses are not survived without a load, and which cannot be healed, in sentences; alike stages in one."""
    alike: dict[str, list[int]] = {}
    for stage in covered.stages:
        for words in _notes(stage):
            alike.setdefault(words, []).append(stage.stage)
    return tuple(f"{_stages(stages)}: {words}" for words, stages in alike.items())


def domain_of(stage: StageLayout, rank: int) -> str:
    """The rank's node, or the name of its pod within the replica where no node is known."""
    seat = stage.seat(rank)
    return seat.node if seat.node is not None else f"stage {stage.stage} {seat.domain}"


def _headroom(stage: StageLayout, room: Room, alive: int, lost: int, at: str) -> Headroom:
    """An extra copy of an expert makes way for one without any host, so places and experts are all that counts."""
    left = alive - lost
    experts = None if room.experts_per_rank is None and left else (room.experts_per_rank or 0) * left
    return Headroom(
        experts=None if experts is None else experts - len(stage.experts),
        lanes=room.lanes_per_rank * left - len(stage.lanes),
        at=at,
    )


def _notes(stage: StageCoverage) -> list[str]:
    notes = []
    if stage.uncovered:
        notes.append(f"{len(stage.uncovered)} experts have no host")
    if stage.critical_nodes:
        which = "a node" if len(stage.critical_nodes) == stage.num_nodes else _listed(stage.critical_nodes)
        notes.append(f"the loss of {which} leaves experts without a host until they are loaded")
    elif stage.critical_ranks:
        notes.append("the loss of one GPU leaves experts without a host until they are loaded")
    for what, headroom in (("GPU", stage.gpu_headroom), ("node", stage.node_headroom)):
        if headroom is not None and not headroom.is_enough:
            short = [
                f"{-number} {name}"
                for number, name in ((headroom.experts or 0, "experts"), (headroom.lanes, "lanes"))
                if number < 0
            ]
            notes.append(f"after the loss of one {what} there is no room for {' and '.join(short)}")
    return notes


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"any of {len(names)} nodes"


def _stages(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"stage {numbers[0]}"
    return f"{len(numbers)} stages ({numbers[0]} to {numbers[-1]})"
