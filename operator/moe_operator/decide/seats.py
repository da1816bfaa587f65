"""Which pod has which seats now, and which ranks are lost, and why. Judges evidence; decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from moe_api import conditions, names
from moe_api.names import ConditionType, Reason
from moe_api.report import SeatReport
from moe_api.stage import MoEStage, RankSpec
from moe_operator.snapshot import Pod, StageSnapshot

ENDED_PHASES = ("Failed", "Succeeded")


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Why a rank cannot host. `since` is when its worker noticed, "" where nobody said; `is_rehearsed`: for a drill."""

    rank: int
    reason: Reason
    message: str
    node: str | None
    gpu: int
    since: str = ""
    is_rehearsed: bool = False


@dataclass(frozen=True, kw_only=True)
class Seats:
    """The seats as the pods have them. `pods` by node rank: who has or will get the seats, None while missing."""

    snapshot: StageSnapshot
    pods: Mapping[int, Pod | None]

    def node_rank(self, seat: RankSpec) -> int:
        return node_rank_of(seat)

    def pod(self, seat: RankSpec) -> Pod | None:
        """The seat's committed pod, when it lives."""
        pod = self.pods[node_rank_of(seat)]
        return pod if pod is not None and pod.uid == seat.pod_uid else None

    def report(self, seat: RankSpec) -> SeatReport | None:
        pod = self.pod(seat)
        return pod.seat(seat.rank) if pod else None

    def gpu_uuids(self) -> dict[int, str]:
        """What the ranks' GPUs are called by their driver, as far as the workers tell."""
        reports = ((seat.rank, self.report(seat)) for seat in self.snapshot.stage.spec.ranks)
        return {rank: report.gpu.id for rank, report in reports if report is not None and report.gpu.id}

    def is_serving(self, seat: RankSpec) -> bool:
        """Whether the seat's process answers its peers and its GPU is good."""
        report = self.report(seat)
        return report is not None and report.state == "serving" and report.gpu.healthy

    def holds(self, rank: int, expert: int) -> bool:
        """Whether the rank serves and reports the expert as held."""
        seat = self.seat(rank)
        report = self.report(seat) if seat and self.is_serving(seat) else None
        return report is not None and expert in report.experts

    def seat(self, rank: int) -> RankSpec | None:
        return next((seat for seat in self.snapshot.stage.spec.ranks if seat.rank == rank), None)


def find_seats(snapshot: StageSnapshot) -> Seats:
    """One pod per node rank: the committed one while it lives, else the newest that does."""
    committed = {node_rank_of(seat): seat.pod_uid for seat in snapshot.stage.spec.ranks}
    return Seats(
        snapshot=snapshot,
        pods={rank: _current(snapshot, rank, uid) for rank, uid in committed.items()},
    )


def has_started(stage: MoEStage) -> bool:
    """Whether the stage was ever available: what never was is starting, not failing."""
    available = conditions.find(stage.status.conditions, ConditionType.AVAILABLE)
    return available is not None and available.reason not in ("", Reason.STARTING)


def is_lost(pod: Pod, snapshot: StageSnapshot) -> bool:
    """Deleted, ended, or on a node that is gone or declared out of service; a silent node alone loses nothing."""
    if pod.is_deleting or pod.phase in ENDED_PHASES:
        return True
    return pod.node is not None and is_node_lost(pod.node, snapshot)


def is_node_lost(name: str, snapshot: StageSnapshot) -> bool:
    """Gone, or declared out of service by a person: its pods can never come back."""
    node = snapshot.nodes.get(name)
    return node is None or node.is_out_of_service


def find_losses(seats: Seats, silent: Mapping[int, datetime] = MappingProxyType({})) -> dict[int, Loss]:
    """Every rank that cannot host at the moment, masked already or not. `silent` are pods that nobody hears."""
    started = has_started(seats.snapshot.stage)
    losses = (_loss(seat, seats, started, silent) for seat in seats.snapshot.stage.spec.ranks)
    return {loss.rank: loss for loss in losses if loss is not None}


def node_rank_of(seat: RankSpec) -> int:
    """The node rank in a seat's pod name."""
    parsed = names.parse_pod_name(seat.pod)
    assert parsed is not None, f"{seat.pod} is no pod name of a stage"
    return parsed.node_rank


def _current(snapshot: StageSnapshot, node_rank: int, committed_uid: str | None) -> Pod | None:
    living = [pod for pod in snapshot.pods if pod.node_rank == node_rank and not is_lost(pod, snapshot)]
    return max(living, key=lambda pod: (pod.uid == committed_uid, pod.attempt), default=None)


def _loss(seat: RankSpec, seats: Seats, started: bool, silent: Mapping[int, datetime]) -> Loss | None:
    if seat.pod_uid is None:
        return None
    pod = seats.pod(seat)
    if pod is None:
        return _pod_loss(seat, seats.snapshot) if started else None
    if node_rank_of(seat) in silent:
        return _silence(seat, pod, silent[node_rank_of(seat)])
    report = pod.seat(seat.rank)
    if report is None:
        return None
    if not report.gpu.healthy:
        reason = report.gpu.reason or "the worker cannot use it"
    elif report.state == "failed" and not (pod.report and pod.report.error):
        reason = f"its process ended {report.restarts} times, more than failover.restartBudget allows"
    else:
        return None
    return Loss(
        rank=seat.rank,
        reason=Reason.GPU_FAILED,
        message=reason,
        node=pod.node,
        gpu=seat.gpu,
        since=report.since,
        is_rehearsed=report.gpu.is_rehearsed,
    )


def _silence(seat: RankSpec, pod: Pod, since: datetime) -> Loss:
    message = f"most of its peers do not hear pod {pod.name}"
    moment = conditions.rfc3339_micro(since)
    return Loss(rank=seat.rank, reason=Reason.HOST_SILENT, message=message, node=pod.node, gpu=seat.gpu, since=moment)


def _pod_loss(seat: RankSpec, snapshot: StageSnapshot) -> Loss:
    pod = next((pod for pod in snapshot.pods if pod.uid == seat.pod_uid), None)
    node = pod.node if pod else _last_node(seat, snapshot.stage)
    if node is not None and is_node_lost(node, snapshot):
        return Loss(rank=seat.rank, reason=Reason.NODE_LOST, message=f"node {node} is lost", node=node, gpu=seat.gpu)
    why = "was deleted" if pod is None or pod.is_deleting else f"ended ({pod.phase})"
    return Loss(rank=seat.rank, reason=Reason.POD_LOST, message=f"pod {seat.pod} {why}", node=node, gpu=seat.gpu)


def _last_node(seat: RankSpec, stage: MoEStage) -> str | None:
    """The node on which the seat was last seen, for words only."""
    return next((status.node for status in stage.status.ranks if status.rank == seat.rank), None)
