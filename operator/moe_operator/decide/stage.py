"""One stage: which pods to create and delete, and the next committed layout. Pure.

What is lost is rehosted at once. All else has one target: the plan's layout on the ranks that may and should host. It
is gone to by loading first and switching after, and lost copies are made again on the way. While the breaker is open
only what pods and nodes take with them is moved.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from moe_api.convert import PodRef, room, stage_layout, with_layout
from moe_api.names import parse_pod_name
from moe_api.report import SeatReport
from moe_api.stage import MoEStageSpec
from moe_operator.decide.actions import CreatePod, DeletePod, StageDecision
from moe_operator.decide.evidence import Evidence, find_evidence
from moe_operator.decide.history import next_history, quarantined_nodes
from moe_operator.decide.holding import holding_node_ranks, marks
from moe_operator.decide.lanes import Drain, drain
from moe_operator.decide.leaving import evacuated_nodes
from moe_operator.decide.loads import known_rates
from moe_operator.decide.masks import new_masks
from moe_operator.decide.nodes import racks_of
from moe_operator.decide.relocations import relocations
from moe_operator.decide.seats import Seats, find_seats, is_node_lost, node_rank_of
from moe_operator.decide.words import (
    breaker_events,
    cleared_events,
    dropped_events,
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
from moe_planner.moves import Rehosting, Room
from moe_planner.rehost import rehost


def decide_stage(snapshot: StageSnapshot, now: datetime) -> StageDecision:
    """What to do about the stage as it is now; an empty decision when it is as it should be."""
    seats, spec = find_seats(snapshot), snapshot.stage.spec
    evidence = find_evidence(seats, now)
    rehosting = _rehosted(seats, evidence)
    layout = rehosting.layout if evidence.paused else _towards_home(seats, rehosting.layout, evidence)
    lanes = drain(spec, rehosting.layout.lanes, layout.lanes, _room(seats), now)
    next_spec = _next_spec(seats, replace(layout, lanes=lanes.seats), lanes, evidence, now)
    creates = _creates(seats, next_spec, evidence, now)
    marked = marks(seats, next_spec, now)
    moved = relocations(seats, next_spec, evidence.losses, evidence.leaving)
    return StageDecision(
        commit=next_spec if next_spec != spec else None,
        creates=creates,
        deletes=_deletes(seats, evidence),
        marks=marked.pods,
        relocations=tuple(moved),
        events=(
            *relocation_events(moved, seats),
            *lost_events(spec, rehosting),
            *heal_events(spec, next_spec),
            *dropped_events(spec, next_spec),
            *breaker_events(spec, next_spec),
            *cleared_events(spec, next_spec),
            *evacuation_events(spec, next_spec, evidence.leaving),
            *pod_events(creates),
        ),
        look_again=min(filter(None, (lanes.until, evidence.look_again, marked.until)), default=None),
    )


def _rehosted(seats: Seats, evidence: Evidence) -> Rehosting:
    """The layout with a host for everything that lost its own, those among the hosts that have just come back.

    A GPU that is well but in quarantine hosts nothing, except what would be lost without it.
    """
    rehosting = _rehosted_on(seats, evidence, evidence.returning)
    if evidence.held and (rehosting.lost_experts or rehosting.homeless_lanes):
        return _rehosted_on(seats, evidence, evidence.returning | frozenset(evidence.held))
    return rehosting


def _rehosted_on(seats: Seats, evidence: Evidence, returning: frozenset[int]) -> Rehosting:
    spec = seats.snapshot.stage.spec
    committed = stage_layout(spec)
    masked = tuple(rank for rank in committed.masked if rank not in returning)
    return rehost(
        replace(committed, masked=masked),
        lost=frozenset(evidence.losses),
        room=_room(seats),
        rates=known_rates(seats.snapshot.stage),
        planned=seats.snapshot.home,
        avoid=frozenset(evidence.leaving) | evidence.doubted,
    )


def _towards_home(seats: Seats, layout: StageLayout, evidence: Evidence) -> StageLayout:
    """The next step to the plan's layout with the ranks that may host, and to as many copies as it has."""
    spec, planned = seats.snapshot.stage.spec, seats.snapshot.home
    able = frozenset(layout.ranks) - frozenset(layout.masked)
    leaving = frozenset(evidence.leaving)
    at_once, room_left = spec.failover.loads_at_once, _room(seats)
    failing = _failing(seats)
    stepped = home(
        layout,
        planned,
        available=able,
        leaving=leaving,
        loaded=_ready(seats, failing),
        failing=failing,
        room=room_left,
        at_once=at_once,
    )
    again = restored(
        _where_it_runs(stepped, seats),
        planned,
        room_left,
        usable=able - leaving,
        at_once=at_once,
        failing=failing,
        rates=known_rates(seats.snapshot.stage),
        racks=racks_of(seats.snapshot.nodes.values(), seats.snapshot.accepted.hardware),
    )
    return replace(again, seats=stepped.seats)


def _where_it_runs(layout: StageLayout, seats: Seats) -> StageLayout:
    """With the nodes that the pods are on instead of those that the plan prefers: that is what copies die with."""
    nodes = {node_rank: pod.node for node_rank, pod in seats.pods.items() if pod is not None and pod.node is not None}
    return replace(layout, seats=tuple(replace(seat, node=nodes.get(seat.pod, seat.node)) for seat in layout.seats))


def _room(seats: Seats) -> Room:
    """How many lanes and, by its memory, experts a rank of the stage can take."""
    return room(seats.snapshot.stage.spec, seats.snapshot.accepted)


def _next_spec(seats: Seats, layout: StageLayout, lanes: Drain, evidence: Evidence, now: datetime) -> MoEStageSpec:
    spec = seats.snapshot.stage.spec
    masks = new_masks(spec, evidence.losses, now)
    committed = with_layout(spec, layout, pods=_new_pods(seats), masks=masks)
    history = next_history(spec, masks.values(), evidence.slow, seats.gpu_uuids(), now)
    return committed.model_copy(update={"lanes": list(lanes.lanes), "history": history, "paused": evidence.paused})


def _ready(seats: Seats, failing: frozenset[tuple[int, int]]) -> frozenset[tuple[int, int]]:
    """What is loaded and may serve. Where an expert is served meanwhile its new hosts wait until all that load with
    them have loaded: one commit switches to them together, as each makes the ranks of three stages look.
    """
    reports = _serving(seats)
    loaded = frozenset((expert, report.rank) for report in reports for expert in report.experts)
    able = {report.rank for report in reports}
    beside = {(one.expert, rank) for one in seats.snapshot.stage.spec.experts for rank in one.loading if rank in able}
    if beside <= loaded | failing:
        return loaded
    served = {
        one.expert for one in seats.snapshot.stage.spec.experts for rank in one.ranks if seats.holds(rank, one.expert)
    }
    return frozenset(pair for pair in loaded if pair not in beside or pair[0] not in served)


def _failing(seats: Seats) -> frozenset[tuple[int, int]]:
    return frozenset((failed.expert, report.rank) for report in _serving(seats) for failed in report.failed)


def _serving(seats: Seats) -> list[SeatReport]:
    found = (seats.report(seat) for seat in seats.snapshot.stage.spec.ranks if seats.is_serving(seat))
    return [report for report in found if report is not None]


def _new_pods(seats: Seats) -> dict[int, PodRef]:
    """Living pods that the spec does not name yet."""
    committed = {node_rank_of(seat): seat.pod_uid for seat in seats.snapshot.stage.spec.ranks}
    return {
        node_rank: PodRef(name=pod.name, uid=pod.uid)
        for node_rank, pod in seats.pods.items()
        if pod is not None and pod.uid != committed[node_rank]
    }


def _creates(seats: Seats, next_spec: MoEStageSpec, evidence: Evidence, now: datetime) -> tuple[CreatePod, ...]:
    stages = (next_spec, *(sibling.spec for sibling in seats.snapshot.siblings))
    quarantined = set().union(*(quarantined_nodes(stage, now) for stage in stages))
    avoid = quarantined | evacuated_nodes(stages) | {leaving.node for leaving in evidence.leaving.values()}
    holding = holding_node_ranks(next_spec)
    return tuple(
        CreatePod(
            node_rank=node_rank,
            attempt=_next_attempt(seats, node_rank),
            avoid=tuple(sorted(avoid)),
            is_holding=node_rank in holding,
        )
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


def _deletes(seats: Seats, evidence: Evidence) -> tuple[DeletePod, ...]:
    """Pods that have no seats: those that ended or were superseded, that nobody hears, or whose node is lost."""
    kept = {pod.uid for pod in seats.pods.values() if pod is not None} - evidence.silent
    deletes = []
    for pod in seats.snapshot.pods:
        on_lost_node = pod.node is not None and is_node_lost(pod.node, seats.snapshot)
        if pod.uid not in kept and (on_lost_node or not pod.is_deleting):
            deletes.append(DeletePod(name=pod.name, uid=pod.uid, force=on_lost_node))
    return tuple(deletes)
