"""Which pods hold experts or lanes, and may therefore not be evicted. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from moe_api.moment import moment_of
from moe_api.stage import MoEStage, MoEStageSpec
from moe_operator.decide.actions import MarkPod
from moe_operator.decide.seats import Seats, node_rank_of

LEAST_SECONDS = 5.0
"""So long every pod has to learn that another one is empty, however short failover.drainSeconds is."""


@dataclass(frozen=True, kw_only=True)
class Marks:
    """Labels to write; `until` is when a pod may go although not all know that it is empty."""

    pods: tuple[MarkPod, ...]
    until: datetime | None


def holding_node_ranks(spec: MoEStageSpec) -> frozenset[int]:
    """Node ranks whose pods have something to serve or to load."""
    experts = {rank for expert in spec.experts for rank in (*expert.ranks, *expert.loading)}
    held = experts | {lane.rank for lane in spec.lanes}
    return frozenset(node_rank_of(seat) for seat in spec.ranks if seat.rank in held)


def marks(seats: Seats, next_spec: MoEStageSpec, now: datetime) -> Marks:
    """The pods whose label does not say what they hold.

    A pod is let go once all know that it holds nothing. Who does not learn it within failover.drainSeconds is waited
    for no longer: its requests break off then, and are sent again when it does.
    """
    spec = seats.snapshot.stage.spec
    holding = holding_node_ranks(spec) | holding_node_ranks(next_spec)
    wrong = [
        MarkPod(name=pod.name, uid=pod.uid, is_holding=node_rank in holding)
        for node_rank, pod in seats.pods.items()
        if pod is not None and pod.is_holding != (node_rank in holding)
    ]
    empty = [mark for mark in wrong if not mark.is_holding]
    until = _learnt_until(seats.snapshot.stage) if empty and next_spec == spec else None
    is_known = _is_applied(seats) or (until is not None and until <= now)
    may_go = empty if next_spec == spec and is_known else []
    full = [mark for mark in wrong if mark.is_holding]
    return Marks(pods=(*full, *may_go), until=None if is_known else until)


def _learnt_until(stage: MoEStage) -> datetime | None:
    """Until when the pods may be learning of the last commit that moved anything; None where none is known."""
    wait = timedelta(seconds=max(LEAST_SECONDS, stage.spec.failover.drain_seconds))
    moments = [moment for move in stage.status.moves if (moment := moment_of(move.time)) is not None]
    return max(moments) + wait if moments else None


def _is_applied(seats: Seats) -> bool:
    """Whether every pod that works goes by the committed layout."""
    generation = seats.snapshot.stage.metadata.generation
    reports = [pod.report for pod in seats.pods.values() if pod is not None and pod.report is not None]
    return all(report.epoch >= generation for report in reports if not report.error)
