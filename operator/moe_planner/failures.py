"""What a failure would move and what it would lose: `--fail node-3,gpu:7/2` on a plan. Commits nothing."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from moe_planner.errors import PlanError
from moe_planner.inputs import Hardware
from moe_planner.layout import Layout
from moe_planner.loads import Rates
from moe_planner.moves import Rehosting, Room
from moe_planner.rehost import rehost
from moe_planner.topology import seats_by_gpu

_GPU = re.compile(r"gpu:(?P<node>.+)/(?P<index>\d{1,9})")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A node that dies, or one of its GPUs."""

    node: str
    gpu: int | None = None

    def __str__(self) -> str:
        return self.node if self.gpu is None else f"gpu:{self.node}/{self.gpu}"


@dataclass(frozen=True, kw_only=True)
class StageFailure:
    """What the failures do to one stage: the ranks that die, and how the rest goes on.

    `uncovered` are the experts that no live copy serves until they are loaded elsewhere.
    """

    replica: int
    stage: int
    lost_ranks: tuple[int, ...]
    uncovered: tuple[int, ...]
    rehosting: Rehosting


def parse_failures(text: str, hardware: Hardware) -> tuple[Failure, ...]:
    """`node-3` is a node, `gpu:7/2` GPU 2 of node 7: nodes by name, or by number in the plan's order.

    Raises PlanError for what the hardware does not have.
    """
    words = [word.strip() for word in text.split(",")]
    return tuple(dict.fromkeys(_parse(word, hardware) for word in words))


def fail(
    layouts: Sequence[Layout],
    failures: Iterable[Failure],
    hardware: Hardware,
    room: Room,
    *,
    rates: Rates | None = None,
) -> tuple[StageFailure, ...]:
    """The stages that the failures touch, all of them at once, by replica and stage."""
    seats = seats_by_gpu(layouts, hardware)
    lost: dict[tuple[int, int], set[int]] = {}
    for failure in failures:
        for (node, gpu), (replica, stage, rank) in seats.items():
            if node == failure.node and failure.gpu in (None, gpu):
                lost.setdefault((replica, stage), set()).add(rank)
    return tuple(_stage(layouts, place, frozenset(ranks), room, rates) for place, ranks in sorted(lost.items()))


def _parse(word: str, hardware: Hardware) -> Failure:
    matched = _GPU.fullmatch(word)
    name = matched["node"] if matched else word
    names = hardware.node_names
    if name not in names and name.isdecimal() and len(name) < 10 and int(name) < len(names):
        name = names[int(name)]
    if name not in names:
        raise PlanError(
            "--fail",
            word,
            f"names none of the {len(names)} nodes ({names[0]} to {names[-1]})",
            "write a node's name, or gpu:NODE/INDEX, several with commas between them",
        )
    if matched is None:
        return Failure(node=name)
    index = int(matched["index"])
    if index >= hardware.gpus_per_node:
        raise PlanError(
            "--fail",
            word,
            f"a node has {hardware.gpus_per_node} GPUs, counted from 0",
            f"use 0 to {hardware.gpus_per_node - 1}",
        )
    return Failure(node=name, gpu=index)


def _stage(
    layouts: Sequence[Layout], place: tuple[int, int], lost: frozenset[int], room: Room, rates: Rates | None
) -> StageFailure:
    replica, number = place
    stage = layouts[replica].stages[number]
    return StageFailure(
        replica=replica,
        stage=number,
        lost_ranks=tuple(sorted(lost)),
        uncovered=tuple(expert for expert in stage.experts if not set(stage.hosts(expert)) - lost),
        rehosting=rehost(stage, lost=lost, room=room, rates=rates),
    )
