"""Drills, step by step: requests first, then the failure, then the wait until all is well, then the verdict. Pure.

The stages' specs are the memory: `rehearsal` of a replica's first stage, which a gateway follows, and `drill` of the
failing rank's stage, which its supervisor carries out. status.drills remembers which drills are done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from moe_api.conditions import is_true, rfc3339
from moe_api.deployment import DrillStatus, MoEDeploymentStatus
from moe_api.drill import CanaryReport
from moe_api.engine import DrillSpec
from moe_api.moment import moment_of, parse_moment
from moe_api.names import ConditionType
from moe_api.quantity import parse_seconds
from moe_api.stage import MoEStage, MoEStageSpec, RehearsalSpec, StageDrillSpec
from moe_operator.decide.actions import DeploymentDecision
from moe_operator.decide.drill_record import drill_events, judged, recorded, refused, started, waiting
from moe_operator.decide.drill_target import Refusal, Target, choose, due, is_settled, trouble
from moe_operator.snapshot import DeploymentSnapshot, GatewayPod

READY_SECONDS = 30.0
"""Within this the requests have their first tokens, or nothing is made to fail."""
BROKEN_SECONDS = 10.0
"""How long a GPU is taken for broken, and within which a supervisor begins."""
WELL_SECONDS = 120.0
"""So long after that, and the quarantine, everything should be well again."""
WORDS_SECONDS = 15.0
"""Within this the gateway tells its last figures."""

Updates = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, kw_only=True)
class _Running:
    """A drill that was begun, and what is seen of it."""

    rehearsal: RehearsalSpec
    first: MoEStage
    stages: tuple[MoEStage, ...]
    is_withdrawn: bool
    has_gateway: bool
    report: CanaryReport | None

    @property
    def target(self) -> MoEStage | None:
        """The stage of the rank that fails."""
        rank = self.rehearsal.rank
        return next((s for s in self.stages if any(seat.rank == rank for seat in s.spec.ranks)), None)


def rehearse(decision: DeploymentDecision, snapshot: DeploymentSnapshot, now: datetime) -> DeploymentDecision:
    """The decision with the next step of the drill that is under way or due, if any."""
    known = tuple(MoEDeploymentStatus.load(snapshot.raw.get("status") or {}).drills)
    if snapshot.deployment is None:
        return replace(decision, drills=known)
    wanted = snapshot.deployment.spec.failover.drill
    running = _running(snapshot, wanted)
    drills, updates = _go_on(running, known, now) if running else _begin(snapshot, wanted, known, now)
    return replace(
        decision,
        drills=drills,
        commits=_with_updates(decision, snapshot, updates),
        events=(*decision.events, *drill_events(known, drills)),
    )


def _with_updates(
    decision: DeploymentDecision, snapshot: DeploymentSnapshot, updates: Updates
) -> tuple[tuple[MoEStage, MoEStageSpec], ...]:
    """The commits with these fields too, one for each stage."""
    commits = {stage.metadata.name: (stage, spec) for stage, spec in decision.commits}
    for stage in snapshot.stages:
        name = stage.metadata.name
        if name in updates:
            written, spec = commits.get(name, (stage, stage.spec))
            commits[name] = (written, spec.model_copy(update=dict(updates[name])))
    return tuple(commits.values())


def _running(snapshot: DeploymentSnapshot, wanted: DrillSpec | None) -> _Running | None:
    for first in snapshot.stages:
        rehearsal = first.spec.rehearsal
        if rehearsal is None:
            continue
        gateway = next((one for one in snapshot.gateways if one.name == rehearsal.gateway), None)
        report = gateway.report if gateway else None
        return _Running(
            rehearsal=rehearsal,
            first=first,
            stages=tuple(stage for stage in snapshot.stages if stage.spec.replica == first.spec.replica),
            is_withdrawn=wanted is None,
            has_gateway=gateway is not None and not _has_begun_since(gateway, rehearsal),
            report=report if report and report.name == rehearsal.name else None,
        )
    return None


def _has_begun_since(gateway: GatewayPod, rehearsal: RehearsalSpec) -> bool:
    """Whether it forgot what its requests met before."""
    started, since = moment_of(gateway.started), moment_of(rehearsal.since)
    return started is not None and since is not None and started > since


def _begin(
    snapshot: DeploymentSnapshot, wanted: DrillSpec | None, known: Sequence[DrillStatus], now: datetime
) -> tuple[tuple[DrillStatus, ...], Updates]:
    """Put requests under way for a drill that is due, as soon as all is well."""
    leftovers = {stage.metadata.name: {"drill": None} for stage in snapshot.stages if stage.spec.drill is not None}
    name = due(wanted, now) if wanted is not None else None
    kept = tuple(drill for drill in known if drill.verdict != "waiting" or drill.name == name)
    before = next((drill for drill in kept if drill.name == name), None)
    if wanted is None or name is None or leftovers or (before is not None and before.verdict != "waiting"):
        return kept, leftovers
    obstacle = _obstacle(snapshot)
    if obstacle:
        return recorded(kept, waiting(name, wanted, obstacle)), {}
    target = choose(snapshot.stages, wanted, name, kept)
    if isinstance(target, Refusal):
        return recorded(kept, refused(name, wanted, target.message, now)), {}
    gateway = next(one.name for one in snapshot.gateways if one.is_ready)
    rehearsal = _rehearsal(name, wanted, target, gateway, now)
    return recorded(kept, started(rehearsal, target.stage)), {target.first.metadata.name: {"rehearsal": rehearsal}}


def _obstacle(snapshot: DeploymentSnapshot) -> str:
    """What has to be waited for; a drill on top of real trouble would be no drill."""
    deployment = snapshot.deployment
    wanted = deployment.spec.replicas if deployment else 0
    counts = [stage.spec.stages for stage in snapshot.stages if stage.spec.stage == 0]
    if not counts or len(snapshot.stages) != sum(counts) or len(counts) != wanted:
        return "stages are being created or deleted"
    if found := trouble(snapshot.stages):
        return found
    moving = [stage.metadata.name for stage in snapshot.stages if not is_settled(stage)]
    if moving:
        return f"{moving[0]} is not settled"
    if not any(gateway.is_ready for gateway in snapshot.gateways):
        return "no gateway pod is ready that could keep requests under way"
    return ""


def _rehearsal(name: str, wanted: DrillSpec, target: Target, gateway: str, now: datetime) -> RehearsalSpec:
    return RehearsalSpec(
        name=name,
        since=rfc3339(now),
        gateway=gateway,
        streams=wanted.streams,
        stall_below=_stall_below(wanted, target.stage),
        rank=target.rank,
        failure=wanted.failure,
        incarnation=target.incarnation,
        head=target.head,
    )


def _stall_below(wanted: DrillSpec, stage: MoEStage) -> str:
    if wanted.failure != "hang":
        return wanted.stall_below
    return f"{parse_seconds(wanted.stall_below) + stage.spec.failover.heartbeat_seconds:g}s"


def _go_on(running: _Running, known: Sequence[DrillStatus], now: datetime) -> tuple[tuple[DrillStatus, ...], Updates]:
    """One step: fail, end, judge, or clear away. The verdict is in the status before its reasons are cleared away."""
    rehearsal, first, target = running.rehearsal, running.first.metadata.name, running.target
    record = next((one for one in known if one.name == rehearsal.name), None) or started(rehearsal, target)
    if record.verdict != "running":
        failing = [stage.metadata.name for stage in running.stages if stage.spec.drill is not None]
        return tuple(known), {name: {"rehearsal": None, "drill": None} for name in dict.fromkeys((first, *failing))}
    drills = recorded(known, record)
    if rehearsal.over_since is None:
        fault = _end(running, now)
        if fault is not None:
            over = {"over_since": rfc3339(now), "fault": fault}
            return drills, {first: {"rehearsal": rehearsal.model_copy(update=over)}}
        if target is not None and target.spec.drill is None and _may_fail(running):
            return drills, {target.metadata.name: {"drill": _drill(rehearsal, now)}}
        return drills, {}
    has_final = running.report is not None and running.report.is_final
    if has_final or _age(rehearsal.over_since, now) > WORDS_SECONDS:
        is_broken = target is not None and target.spec.drill is not None
        report = running.report if has_final else None
        return recorded(known, judged(record, rehearsal, report, is_broken=is_broken, now=now)), {}
    return drills, {}


def _may_fail(running: _Running) -> bool:
    is_ready = running.report is not None and running.report.is_ready
    return is_ready and all(map(is_settled, running.stages))


def _drill(rehearsal: RehearsalSpec, now: datetime) -> StageDrillSpec:
    until = rfc3339(now + timedelta(seconds=BROKEN_SECONDS))
    return StageDrillSpec(name=rehearsal.name, rank=rehearsal.rank, failure=rehearsal.failure, until=until)


def _end(running: _Running, now: datetime) -> str | None:
    """Why no more requests are wanted: "" because all is well again, else what is amiss; None while they are."""
    target = running.target
    if target is None:
        return f"the stage of rank {running.rehearsal.rank} is gone"
    if not running.has_gateway:
        return f"gateway pod {running.rehearsal.gateway}, which kept the requests under way, is gone or began anew"
    return _end_before(running, now) if target.spec.drill is None else _end_after(running, target, now)


def _end_before(running: _Running, now: datetime) -> str | None:
    if running.is_withdrawn:
        return "it was taken out of spec.failover.drill"
    if found := trouble(running.stages):
        return f"a failure that is no drill came first: {found}"
    if _age(running.rehearsal.since, now) > READY_SECONDS:
        return f"its requests had no tokens, or the stages were not settled, within {READY_SECONDS:g} s"
    return None


def _end_after(running: _Running, target: MoEStage, now: datetime) -> str | None:
    assert target.spec.drill is not None, "the failure was committed"
    overdue = _age(target.spec.drill.until, now)
    found, was_seen = trouble(running.stages), _was_seen(running.rehearsal, target)
    if overdue >= 0 and was_seen and not found and all(map(is_settled, running.stages)):
        return ""
    if overdue < WELL_SECONDS + target.spec.failover.quarantine_seconds:
        return None
    if not was_seen:
        return f"rank {running.rehearsal.rank} was never seen to fail"
    is_served = all(is_true(stage.status.conditions, ConditionType.AVAILABLE) for stage in running.stages)
    return "" if is_served and all(map(is_settled, running.stages)) else f"not well after {overdue:.0f} s: {found}"


def _was_seen(rehearsal: RehearsalSpec, target: MoEStage) -> bool:
    """Whether the rank has failed: another process has its seat, or its GPU was given up for a while."""
    seat = next((seat for seat in target.status.ranks if seat.rank == rehearsal.rank), None)
    has_restarted = seat is not None and seat.incarnation > rehearsal.incarnation
    since = parse_moment(rehearsal.since)
    moved = any(move.rank == rehearsal.rank and parse_moment(move.time) >= since for move in target.status.moves)
    return has_restarted or moved


def _age(moment: str, now: datetime) -> float:
    return (now - parse_moment(moment)).total_seconds()
