"""One stage: which pods to create and delete, and the next committed layout. Pure.

What is lost is rehosted at once. All else has one target: the plan's layout on the ranks that may and should host. It
is gone to by loading first and switching after, and lost copies are made again on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from moe_api.convert import PodRef, room, stage_layout, with_layout
from moe_api.names import Reason, parse_pod_name
from moe_api.stage import MoEStageSpec
from moe_operator.decide.actions import CreatePod, DeletePod, StageDecision
from moe_operator.decide.lanes import Drain, drain
from moe_operator.decide.leaving import Leaving, evacuated_nodes, find_leaving
from moe_operator.decide.masks import new_masks, returning
from moe_operator.decide.relocations import relocations
from moe_operator.decide.seats import Loss, Seats, find_losses, find_seats, is_node_lost, node_rank_of
from moe_operator.decide.words import (
    evacuation_events,
    heal_events,
    lost_events,
    pod_events,
    relocation_events,
)
from moe_operator.snapshot import StageSnapshot
from moe_planner.copies import restored
from moe_planner.home import home
from moe_planner.layout import StageLayout
from moe_planner.moves import Rehosting
from moe_planner.rehost import rehost


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """What is known of the stage's ranks: who cannot host, who should not, and who can again."""

    losses: Mapping[int, Loss]
    leaving: Mapping[int, Leaving]
    returning: frozenset[int]


def decide_stage(snapshot: StageSnapshot, now: datetime) -> StageDecision:
    """What to do about the stage as it is now; an empty decision when it is as it should be."""
    seats, spec = find_seats(snapshot), snapshot.stage.spec
    evidence = _evidence(seats, now)
    rehosting = _rehosted(seats, evidence)
    layout = _towards_home(seats, rehosting.layout, evidence)
    lanes = drain(spec, rehosting.layout.lanes, layout.lanes, room(spec), now)
    next_spec = _next_spec(seats, replace(layout, lanes=lanes.seats), lanes, evidence, now)
    creates = _creates(seats, next_spec)
    moved = relocations(seats, next_spec, evidence.losses, evidence.leaving)
    return StageDecision(
        commit=next_spec if next_spec != spec else None,
        creates=creates,
        deletes=_deletes(seats),
        relocations=tuple(moved),
        events=(
            *relocation_events(moved, seats),
            *lost_events(spec, rehosting),
            *heal_events(spec, next_spec),
            *evacuation_events(spec, next_spec, evidence.leaving),
            *pod_events(creates),
        ),
        look_again=lanes.until,
    )


def _evidence(seats: Seats, now: datetime) -> _Evidence:
    losses = find_losses(seats)
    leaving = {rank: one for rank, one in find_leaving(seats).items() if rank not in losses}
    return _Evidence(losses=losses, leaving=leaving, returning=returning(seats, losses, now))


def _rehosted(seats: Seats, evidence: _Evidence) -> Rehosting:
    """The layout with a host for everything that lost its own, those among the hosts that have just come back."""
    spec = seats.snapshot.stage.spec
    committed = stage_layout(spec)
    masked = tuple(rank for rank in committed.masked if rank not in evidence.returning)
    return rehost(
        replace(committed, masked=masked),
        lost=frozenset(evidence.losses),
        room=room(spec),
        planned=seats.snapshot.home,
        avoid=frozenset(evidence.leaving),
    )


def _towards_home(seats: Seats, layout: StageLayout, evidence: _Evidence) -> StageLayout:
    """The next step to the plan's layout with the ranks that may host, and to as many copies as it has."""
    spec, planned = seats.snapshot.stage.spec, seats.snapshot.home
    able = frozenset(layout.ranks) - frozenset(layout.masked)
    leaving = frozenset(evidence.leaving)
    at_once = spec.failover.loads_at_once
    stepped = home(
        layout, planned, available=able, leaving=leaving, loaded=_loaded(seats), room=room(spec), at_once=at_once
    )
    return restored(stepped, planned, room(spec), usable=able - leaving, at_once=at_once)


def _next_spec(seats: Seats, layout: StageLayout, lanes: Drain, evidence: _Evidence, now: datetime) -> MoEStageSpec:
    spec = seats.snapshot.stage.spec
    masks = new_masks(spec, evidence.losses, now)
    committed = with_layout(spec, layout, pods=_new_pods(seats), masks=masks)
    return committed.model_copy(update={"lanes": list(lanes.lanes)})


def _loaded(seats: Seats) -> frozenset[tuple[int, int]]:
    reports = [seats.report(seat) for seat in seats.snapshot.stage.spec.ranks if seats.is_serving(seat)]
    return frozenset((expert, report.rank) for report in reports if report for expert in report.experts)


def _new_pods(seats: Seats) -> dict[int, PodRef]:
    """Living pods that the spec does not name yet."""
    committed = {node_rank_of(seat): seat.pod_uid for seat in seats.snapshot.stage.spec.ranks}
    return {
        node_rank: PodRef(name=pod.name, uid=pod.uid)
        for node_rank, pod in seats.pods.items()
        if pod is not None and pod.uid != committed[node_rank]
    }


def _creates(seats: Seats, next_spec: MoEStageSpec) -> tuple[CreatePod, ...]:
    quarantined = {mask.node for mask in next_spec.masked if mask.reason == Reason.GPU_FAILED and mask.node}
    avoid = tuple(sorted(quarantined | evacuated_nodes(seats)))
    return tuple(
        CreatePod(node_rank=node_rank, attempt=_next_attempt(seats, node_rank), avoid=avoid)
        for node_rank, pod in seats.pods.items()
        if pod is None
    )


def _next_attempt(seats: Seats, node_rank: int) -> int:
    """Above every attempt that was ever seen: those of observed pods, and the committed one once it existed."""
    attempts = [pod.attempt + 1 for pod in seats.snapshot.pods if pod.node_rank == node_rank]
    for seat in seats.snapshot.stage.spec.ranks:
        parsed = parse_pod_name(seat.pod)
        if parsed is not None and parsed.node_rank == node_rank:
            attempts.append(parsed.attempt + (1 if seat.pod_uid else 0))
    return max(attempts)


def _deletes(seats: Seats) -> tuple[DeletePod, ...]:
    """Pods that have no seats: those that ended or were superseded, and those whose node can never end them."""
    kept = {pod.uid for pod in seats.pods.values() if pod is not None}
    deletes = []
    for pod in seats.snapshot.pods:
        on_lost_node = pod.node is not None and is_node_lost(pod.node, seats.snapshot)
        if pod.uid not in kept and (on_lost_node or not pod.is_deleting):
            deletes.append(DeletePod(name=pod.name, uid=pod.uid, force=on_lost_node))
    return tuple(deletes)
