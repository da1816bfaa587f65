"""Which pods hold experts or lanes, and may therefore not be evicted. Pure."""

from __future__ import annotations

from moe_api.stage import MoEStageSpec
from moe_operator.decide.actions import MarkPod
from moe_operator.decide.seats import Seats, node_rank_of


def holding_node_ranks(spec: MoEStageSpec) -> frozenset[int]:
    """Node ranks whose pods have something to serve or to load."""
    experts = {rank for expert in spec.experts for rank in (*expert.ranks, *expert.loading)}
    held = experts | {lane.rank for lane in spec.lanes}
    return frozenset(node_rank_of(seat) for seat in spec.ranks if seat.rank in held)


def marks(seats: Seats, next_spec: MoEStageSpec) -> tuple[MarkPod, ...]:
    """The pods whose label does not say what they hold. A pod is let go once all know that it holds nothing."""
    spec = seats.snapshot.stage.spec
    holding = holding_node_ranks(spec) | holding_node_ranks(next_spec)
    is_known = next_spec == spec and _is_applied(seats)
    return tuple(
        MarkPod(name=pod.name, uid=pod.uid, is_holding=node_rank in holding)
        for node_rank, pod in seats.pods.items()
        if pod is not None and pod.is_holding != (node_rank in holding) and (node_rank in holding or is_known)
    )


def _is_applied(seats: Seats) -> bool:
    """Whether every pod that works goes by the committed layout."""
    generation = seats.snapshot.stage.metadata.generation
    reports = [pod.report for pod in seats.pods.values() if pod is not None and pod.report is not None]
    return all(report.epoch >= generation for report in reports if not report.error)
