"""One stage: which pods to create and delete, and the next committed layout. Pure.

What is lost is rehosted at once; what is back goes home by loading first and switching after.
"""

from __future__ import annotations

from datetime import datetime

from moe_api.convert import PodRef, room, stage_layout, with_layout
from moe_api.names import Reason, parse_pod_name
from moe_api.stage import MoEStageSpec
from moe_operator.decide.actions import CreatePod, DeletePod, StageDecision
from moe_operator.decide.masks import new_masks
from moe_operator.decide.relocations import failovers, returns
from moe_operator.decide.seats import Loss, Seats, find_losses, find_seats, is_node_lost, node_rank_of
from moe_operator.decide.words import heal_events, lost_events, pod_events, relocation_events
from moe_operator.snapshot import StageSnapshot
from moe_planner.home import home
from moe_planner.layout import StageLayout
from moe_planner.rehost import rehost


def decide_stage(snapshot: StageSnapshot, now: datetime) -> StageDecision:
    """What to do about the stage as it is now; an empty decision when it is as it should be."""
    seats, spec = find_seats(snapshot), snapshot.stage.spec
    losses = find_losses(seats)
    rehosting = rehost(stage_layout(spec), lost=frozenset(losses), room=room(spec))
    layout = _homeward(seats, rehosting.layout, losses)
    if rehosting.lost_experts or rehosting.homeless_lanes:
        # Who has just come back may host what nobody else could.
        layout = rehost(layout, lost=frozenset(), room=room(spec)).layout
    next_spec = with_layout(spec, layout, pods=_new_pods(seats), masks=new_masks(spec, losses, now))
    creates = _creates(seats, next_spec)
    relocations = (*failovers(spec, next_spec, losses, rehosting), *returns(rehosting.layout, layout, seats))
    return StageDecision(
        commit=next_spec if next_spec != spec else None,
        creates=creates,
        deletes=_deletes(seats),
        relocations=relocations,
        events=(
            *relocation_events(relocations, seats),
            *lost_events(spec, rehosting),
            *heal_events(spec, next_spec),
            *pod_events(creates),
        ),
    )


def _homeward(seats: Seats, layout: StageLayout, losses: dict[int, Loss]) -> StageLayout:
    """The next step to the plan's layout with the ranks that may host: those not masked, and those that are back."""
    masked = frozenset(layout.masked)
    ranks = seats.snapshot.stage.spec.ranks
    back = frozenset(s.rank for s in ranks if s.rank in masked and s.rank not in losses and seats.is_serving(s))
    available = (frozenset(layout.ranks) - masked) | back
    return home(layout, seats.snapshot.home, available=available, loaded=_loaded(seats))


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
    return tuple(
        CreatePod(node_rank=node_rank, attempt=_next_attempt(seats, node_rank), avoid=tuple(sorted(quarantined)))
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
