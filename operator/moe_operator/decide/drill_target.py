"""When a drill is due, what keeps it waiting, which rank is to fail in it, and when that is refused. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zlib import crc32

from moe_api.conditions import find, is_true, rfc3339
from moe_api.convert import room, stage_layout
from moe_api.deployment import DrillStatus
from moe_api.engine import DrillSpec
from moe_api.moment import parse_moment
from moe_api.names import ConditionType
from moe_api.notes import accepted_spec
from moe_api.quantity import parse_seconds
from moe_api.stage import MoEStage
from moe_operator.decide.words import numbered
from moe_planner.rehost import rehost

LEAST_EVERY_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Target:
    """The rank that is to fail, its stage, the first stage of its replica, which process has the seat, and who heads a
    lane of the rank.
    """

    first: MoEStage
    stage: MoEStage
    rank: int
    incarnation: int
    head: int | None


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A drill that must not be made, and why."""

    message: str


def due(wanted: DrillSpec, now: datetime) -> str | None:
    """The name of the drill that should be made by now: the last time it is declared for; None before the first."""
    first = parse_moment(wanted.at).astimezone(UTC)
    if now < first:
        return None
    if wanted.every is None:
        return rfc3339(first)
    period = timedelta(seconds=max(LEAST_EVERY_SECONDS, parse_seconds(wanted.every)))
    return rfc3339(first + (now - first) // period * period)


def trouble(stages: Iterable[MoEStage]) -> str:
    """What is wrong with the first stage that is not well, "" when all are; what is on its way is no trouble."""
    for stage in stages:
        place = f"replica {stage.spec.replica} stage {stage.spec.stage}"
        if stage.spec.paused is not None:
            return f"{place}: {stage.spec.paused.message}"
        if is_true(stage.status.conditions, ConditionType.DEGRADED):
            return f"{place}: {_message(stage, ConditionType.DEGRADED)}"
        if not is_true(stage.status.conditions, ConditionType.AVAILABLE):
            return f"{place}: {_message(stage, ConditionType.AVAILABLE)}"
    return ""


def is_settled(stage: MoEStage) -> bool:
    """Whether every pod works by the committed layout, and nothing is left to do."""
    generation = stage.metadata.generation
    is_told = stage.status.observed_generation == generation and stage.status.epoch >= generation
    return is_told and not is_true(stage.status.conditions, ConditionType.PROGRESSING)


def choose(stages: Sequence[MoEStage], wanted: DrillSpec, name: str, known: Sequence[DrillStatus]) -> Target | Refusal:
    """Another stage each time, and a rank of it by the drill's name; refused where something would be lost."""
    numbers = sorted({stage.spec.stage for stage in stages})
    number = wanted.stage if wanted.stage is not None else _next(numbers, known)
    if number not in numbers:
        rule = f"the stages are {numbers[0]} to {numbers[-1]}; choose one of them, or leave it out"
        return Refusal(message=f"spec.failover.drill.stage = {number}: {rule}")
    dice = crc32(name.encode())
    replicas = sorted({stage.spec.replica for stage in stages})
    of_replica = {stage.spec.stage: stage for stage in stages if stage.spec.replica == replicas[dice % len(replicas)]}
    stage = of_replica[number]
    holding = _holding(stage)
    rank = holding[dice % len(holding)]
    if lost := _would_lose(stage, rank, wanted):
        return Refusal(message=lost)
    seat = next((seat for seat in stage.status.ranks if seat.rank == rank), None)
    return Target(
        first=of_replica[0],
        stage=stage,
        rank=rank,
        incarnation=seat.incarnation if seat else 0,
        head=_head(of_replica[0], stage, rank),
    )


def _head(first: MoEStage, stage: MoEStage, rank: int) -> int | None:
    lane = next((lane.lane for lane in stage.spec.lanes if lane.rank == rank), None)
    return next((head.rank for head in first.spec.lanes if head.lane == lane), None)


def _next(numbers: list[int], known: Sequence[DrillStatus]) -> int:
    last = next((drill.stage for drill in reversed(known) if drill.stage is not None), None)
    return numbers[0] if last is None else numbers[(last + 1) % len(numbers)]


def _holding(stage: MoEStage) -> list[int]:
    """Ranks whose loss would be felt."""
    experts = {rank for expert in stage.spec.experts for rank in expert.ranks}
    return sorted(experts | {lane.rank for lane in stage.spec.lanes if lane.rank is not None})


def _would_lose(stage: MoEStage, rank: int, wanted: DrillSpec) -> str:
    """What the stage has no room for without the rank, in words. A process that is started again takes nothing away."""
    if wanted.failure != "device" and stage.spec.failover.restart_budget > 0:
        return ""
    after = rehost(stage_layout(stage.spec), lost=frozenset({rank}), room=room(stage.spec, accepted_spec(stage)))
    lost = [*_listed("expert", after.lost_experts), *_listed("lane", after.homeless_lanes)]
    if not lost:
        return ""
    remedy = "add room (GPUs, copies, engine.lanesPerRank), or rehearse exit"
    return f"without rank {rank} stage {stage.spec.stage} has no room for {' and '.join(lost)}; {remedy}"


def _listed(noun: str, numbers: Sequence[int]) -> list[str]:
    return [numbered(noun, numbers)] if numbers else []


def _message(stage: MoEStage, type_: ConditionType) -> str:
    found = find(stage.status.conditions, type_)
    return found.message if found else "nothing is known of it yet"
