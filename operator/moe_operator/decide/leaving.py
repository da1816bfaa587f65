"""Which ranks should not host although they can: a person's word, in the spec or by a cordon. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moe_api.engine import EvacuatedGpu
from moe_api.names import Reason
from moe_api.stage import MoEStageSpec, RankSpec
from moe_operator.decide.seats import Seats
from moe_operator.snapshot import Pod


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """Why a rank is to be emptied, in words that follow its place."""

    rank: int
    reason: Reason
    message: str
    node: str
    gpu: int


def find_leaving(seats: Seats) -> Mapping[int, Leaving]:
    """Every rank with a living pod that is to be emptied."""
    found = ((seat, seats.pod(seat)) for seat in seats.snapshot.stage.spec.ranks)
    leaving = (_leaving(seat, pod, seats) for seat, pod in found if pod is not None)
    return {one.rank: one for one in leaving if one is not None}


def evacuated_nodes(stages: Iterable[MoEStageSpec]) -> frozenset[str]:
    """Nodes of which a GPU is to be emptied: a new pod had better go elsewhere. Each stage knows of its own."""
    return frozenset(place.node for stage in stages for place in stage.failover.evacuate)


def _leaving(seat: RankSpec, pod: Pod, seats: Seats) -> Leaving | None:
    if pod.node is None:
        return None
    if any(_names(place, seat, pod) for place in seats.snapshot.stage.spec.failover.evacuate):
        reason, message = Reason.EVACUATING, "failover.evacuate names it"
    elif pod.node in seats.snapshot.nodes and seats.snapshot.nodes[pod.node].is_unschedulable:
        reason, message = Reason.NODE_CORDONED, f"node {pod.node} is cordoned"
    else:
        return None
    return Leaving(rank=seat.rank, reason=reason, message=message, node=pod.node, gpu=seat.gpu)


def _names(place: EvacuatedGpu, seat: RankSpec, pod: Pod) -> bool:
    report = pod.seat(seat.rank)
    uuid = report.gpu.id if report else ""
    return place.means(pod.node, seat.gpu, uuid)
