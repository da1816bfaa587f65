"""A MoEStage's status: seats, expert map and conditions, derived from the committed spec and the pods' reports."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from moe_api.conditions import upsert
from moe_api.stage import ExpertSpec, ExpertState, ExpertStatus, MoEStageStatus, RankSpec, RankState, RankStatus
from moe_operator.decide.actions import Relocation
from moe_operator.decide.evidence import find_evidence
from moe_operator.decide.seats import Seats, find_seats
from moe_operator.snapshot import StageSnapshot
from moe_operator.status.facts import Facts
from moe_operator.status.moves import next_moves
from moe_operator.status.stage_conditions import leading_reason, stage_conditions


def describe_stage(
    snapshot: StageSnapshot, relocations: Iterable[Relocation], *, seen: datetime, now: datetime
) -> MoEStageStatus:
    """The status of the stage as its spec and its pods are now.

    `relocations` are what this pass committed; `seen` is when the pass began.
    """
    seats, stage = find_seats(snapshot), snapshot.stage
    ranks = [_rank(seat, seats) for seat in stage.spec.ranks]
    experts = [row for expert in stage.spec.experts for row in _rows(expert, seats)]
    copies = _live_copies(seats)
    evidence = find_evidence(seats, now)
    facts = Facts(seats=seats, evidence=evidence, copies=copies, planned_copies=_planned_copies(snapshot), now=now)
    conditions = list(stage.status.conditions)
    for condition in stage_conditions(facts):
        conditions = upsert(conditions, condition, now=now)
    ready = sum(1 for count in copies.values() if count)
    serving = sum(1 for rank in ranks if rank.state == "serving")
    return MoEStageStatus(
        observed_generation=stage.metadata.generation,
        epoch=_applied_epoch(seats),
        ranks=ranks,
        experts=experts,
        ready_experts=ready,
        total_experts=len(copies),
        experts_summary=f"{ready}/{len(copies)}",
        ranks_summary=f"{serving}/{len(ranks)}",
        coverage=min(copies.values(), default=snapshot.home.coverage),
        reason=leading_reason(conditions),
        moves=next_moves(stage.status.moves, relocations, seats, seen=seen, now=now),
        conditions=conditions,
    )


def _applied_epoch(seats: Seats) -> int:
    """The least epoch that any pod works by; 0 while a pod reports none."""
    return min((pod.report.epoch if pod and pod.report else 0) for pod in seats.pods.values())


def _planned_copies(snapshot: StageSnapshot) -> dict[int, int]:
    return {expert: len(snapshot.home.hosts(expert)) for expert in snapshot.home.experts}


def _live_copies(seats: Seats) -> dict[int, int]:
    """Live hosts of every expert."""
    return {
        expert.expert: sum(1 for rank in expert.ranks if seats.holds(rank, expert.expert))
        for expert in seats.snapshot.stage.spec.experts
    }


def _rank(seat: RankSpec, seats: Seats) -> RankStatus:
    pod, report = seats.pod(seat), seats.report(seat)
    return RankStatus(
        rank=seat.rank,
        pod=seat.pod,
        pod_uid=seat.pod_uid,
        node=pod.node if pod else None,
        gpu=seat.gpu,
        uuid=(report.gpu.id or None) if report else None,
        address=(report.address or None) if report else None,
        incarnation=report.incarnation if report else 0,
        state=_rank_state(seat, seats),
    )


def _rank_state(seat: RankSpec, seats: Seats) -> RankState:
    report = seats.report(seat)
    if any(mask.rank == seat.rank for mask in seats.snapshot.stage.spec.masked):
        return "masked" if seats.pod(seat) else "lost"
    if report is None:
        return "pending"
    return report.state


def _rows(spec: ExpertSpec, seats: Seats) -> list[ExpertStatus]:
    """One per host, preferred first."""
    expert, layer = spec.expert, spec.expert // seats.snapshot.stage.spec.model.shape.experts
    if not spec.ranks and not spec.loading:
        return [ExpertStatus(expert=expert, layer=layer, state="lost")]
    rows = [_row(expert, layer, rank, _expert_state(expert, rank, seats), seats) for rank in spec.ranks]
    return rows + [_row(expert, layer, rank, "loading", seats) for rank in spec.loading]


def _row(expert: int, layer: int, rank: int, state: ExpertState, seats: Seats) -> ExpertStatus:
    seat = seats.seat(rank)
    pod = seats.pod(seat) if seat else None
    return ExpertStatus(
        expert=expert,
        layer=layer,
        rank=rank,
        gpu=seat.gpu if seat else None,
        pod=seat.pod if seat else None,
        node=pod.node if pod else None,
        state=state,
    )


def _expert_state(expert: int, rank: int, seats: Seats) -> ExpertState:
    if seats.holds(rank, expert):
        return "serving"
    seat = seats.seat(rank)
    report = seats.report(seat) if seat else None
    return "loading" if report is not None else "pending"
