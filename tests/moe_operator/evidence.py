"""A stage of the reference's small sister and what its pods report, made by hand: for tests of what evidence says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from moe_api import names
from moe_api.conditions import Condition, rfc3339_micro
from moe_api.deployment import MoEDeployment
from moe_api.names import ConditionType, Reason
from moe_api.notes import accepted_spec, home_layout
from moe_api.planning import plan_deployment
from moe_api.report import GpuHealth, Report, SeatReport, SlowPeer, UnreachablePeer
from moe_api.stage import MoEStage
from moe_operator.decide.seats import Seats, find_seats
from moe_operator.desire.stages import new_stage
from moe_operator.snapshot import DeviceTaint, Node, Pod, StageSnapshot
from tests.moe_operator.world import EXAMPLES

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> str:
    """So many seconds from now, below 0 before."""
    return rfc3339_micro(NOW + timedelta(seconds=seconds))


def stage_of(num_pods: int, gpus: int, *, failover: Mapping[str, Any] | None = None, **spec: Any) -> MoEStage:
    """The first stage of two that has served, with so many pods of so many GPUs, their UIDs p0, p1 and so on.

    `spec` are fields of its spec that are otherwise than planned.
    """
    documents = yaml.safe_load_all((EXAMPLES / "small.yaml").read_text())
    body = next(one for one in documents if one and one["kind"] == names.DEPLOYMENT_KIND)
    ranks = num_pods * gpus
    body["metadata"] |= {"namespace": "default", "uid": "deployment"}
    body["spec"]["model"]["shape"] |= {"experts": ranks, "layers": 2}
    body["spec"]["hardware"] |= {"nodes": 2 * num_pods, "gpusPerNode": gpus}
    body["spec"]["failover"] = dict(failover or {})
    deployment = MoEDeployment.load(body)
    stage = MoEStage.load(new_stage(deployment, plan_deployment(deployment), replica=0, stage=0))
    seated = [one.model_copy(update={"pod_uid": f"p{one.rank // gpus}"}) for one in stage.spec.ranks]
    served = Condition(type=ConditionType.AVAILABLE, status="True", reason=Reason.ALL_EXPERTS_READY)
    return stage.model_copy(
        update={
            "spec": stage.spec.model_copy(update={"ranks": seated, **spec}),
            "status": stage.status.model_copy(update={"conditions": [served]}),
        }
    )


def seat(rank: int, gpu: int, *, bad: str = "", since: str = "", device: str = "") -> SeatReport:
    health = GpuHealth(index=gpu, healthy=not bad, reason=bad, id=device)
    return SeatReport(rank=rank, state="failed" if bad else "serving", gpu=health, since=since or at(-3600))


def pod(
    number: int,
    seats: Iterable[SeatReport],
    *,
    unheard: Mapping[int, float] | None = None,
    slow: Mapping[int, float] | None = None,
    devices: tuple[str, ...] = (),
) -> Pod:
    """Pod `p<number>` on `node-<number>`. `unheard` and `slow` are ranks, and for how many seconds so far."""
    report = Report(
        seats=list(seats),
        unreachable=[UnreachablePeer(rank=rank, since=at(-seconds)) for rank, seconds in (unheard or {}).items()],
        slow=[SlowPeer(rank=rank, factor=8.0, since=at(-seconds)) for rank, seconds in (slow or {}).items()],
    )
    return Pod(
        name=f"small-r0-s00-p{number}-a0",
        uid=f"p{number}",
        node_rank=number,
        attempt=0,
        node=f"node-{number}",
        phase="Running",
        unhealthy_devices=devices,
        report=report,
    )


def well(num_pods: int, gpus: int) -> list[Pod]:
    """All pods with nothing to complain of."""
    return [
        pod(number, [seat(number * gpus + gpu, gpu, device=f"node-{number}/{gpu}") for gpu in range(gpus)])
        for number in range(num_pods)
    ]


def seats_of(
    stage: MoEStage,
    pods: Iterable[Pod],
    *,
    nodes: Mapping[str, Node] | None = None,
    others: Iterable[Pod] = (),
    device_taints: Iterable[DeviceTaint] = (),
) -> Seats:
    """What a pass would see; the nodes have nothing to say unless given."""
    pods = tuple(pods)
    plain = {one.node: Node(name=one.node) for one in pods if one.node}
    return find_seats(
        StageSnapshot(
            stage=stage,
            raw={},
            accepted=accepted_spec(stage),
            home=home_layout(stage),
            pods=pods,
            nodes=plain | dict(nodes or {}),
            others=tuple(others),
            device_taints=tuple(device_taints),
        )
    )
