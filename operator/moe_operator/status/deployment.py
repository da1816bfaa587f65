"""A MoEDeployment's status: the sum of its stages' statuses, the plan's verdict and its gateway."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from math import copysign, isfinite

from moe_api import names
from moe_api.conditions import find, is_true, upsert
from moe_api.deployment import DrillStatus, MoEDeploymentStatus, VerificationStatus
from moe_api.names import ConditionType
from moe_api.stage import MoEStage
from moe_operator.decide.actions import Verdict
from moe_operator.snapshot import DeploymentSnapshot
from moe_operator.status.deployment_conditions import Sum, deployment_conditions, leading_reason
from moe_operator.status.places import has_places, unknown_places


def describe_deployment(
    snapshot: DeploymentSnapshot, verdict: Verdict, now: datetime, drills: Sequence[DrillStatus] = ()
) -> MoEDeploymentStatus:
    """The status of the MoEDeployment as its stages are now, with the record of its drills."""
    metadata = snapshot.raw["metadata"]
    before = _status_before(snapshot)
    total = _sum(snapshot, verdict)
    judged = deployment_conditions(total)
    # What is no longer asked for is no longer told.
    conditions = [known for known in before.conditions if find(judged, known.type)]
    for condition in judged:
        known = find(conditions, condition.type)
        if condition.type == ConditionType.AVAILABLE and total.is_ignoring and known is not None:
            # It tells of the spec that was accepted; a wait for the newer one is not satisfied by it.
            condition = condition.model_copy(update={"observed_generation": known.observed_generation})
        conditions = upsert(conditions, condition, now=now)
    stages = snapshot.stages
    ready, experts = sum(s.status.ready_experts for s in stages), sum(len(s.spec.experts) for s in stages)
    return MoEDeploymentStatus(
        observed_generation=metadata["generation"],
        replicas=len({stage.spec.replica for stage in stages}),
        ready_replicas=_ready_replicas(total),
        selector=names.worker_selector(metadata["name"]),
        layout=verdict.layout or before.layout,
        experts=f"{ready}/{experts}",
        ready_experts=ready,
        total_experts=experts,
        coverage=min((stage.status.coverage for stage in stages if stage.spec.experts), default=0),
        gpus=_gpus(stages),
        reason=leading_reason(conditions),
        conclusion=verdict.conclusion or before.conclusion,
        verification=_verification(verdict) or before.verification,
        drills=list(drills),
        conditions=conditions,
    )


def _verification(verdict: Verdict) -> list[VerificationStatus]:
    """The plan's checks in short. Values have six digits, which is more than predictions are worth."""
    return [
        VerificationStatus(
            name=check.name,
            value=_rounded(check.value),
            limit=_rounded(check.limit),
            unit=check.unit,
            verdict=check.verdict,
            bound=check.bound,
        )
        for check in verdict.verification
    ]


def _rounded(value: float) -> float:
    """JSON has no infinity, so what is unlimited is the largest number."""
    return float(f"{value:.6g}") if isfinite(value) else copysign(sys.float_info.max, value)


def _status_before(snapshot: DeploymentSnapshot) -> MoEDeploymentStatus:
    return MoEDeploymentStatus.load(snapshot.raw.get("status") or {})


def _sum(snapshot: DeploymentSnapshot, verdict: Verdict) -> Sum:
    deployment = snapshot.deployment
    gateway = snapshot.owned.get(("Deployment", names.gateway_name(snapshot.raw["metadata"]["name"])))
    total = Sum(
        generation=snapshot.raw["metadata"]["generation"],
        verdict=verdict,
        stages=snapshot.stages,
        num_replicas=0,
        targets=(),
        wants_gateway=False,
        has_gateway=bool(gateway and gateway.get("status", {}).get("readyReplicas")),
        unknown_places=unknown_places(snapshot) if deployment and has_places(deployment) else None,
    )
    if deployment is None:
        return total
    return replace(
        total,
        num_replicas=deployment.spec.replicas,
        targets=tuple(deployment.spec.targets.dump()),
        wants_gateway=deployment.spec.gateway.replicas > 0,
    )


def _ready_replicas(total: Sum) -> int:
    return sum(1 for stages in total.by_replica().values() if _is_ready(stages))


def _is_ready(stages: Sequence[MoEStage]) -> bool:
    return len(stages) == stages[0].spec.stages and all(
        is_true(stage.status.conditions, ConditionType.AVAILABLE) for stage in stages
    )


def _gpus(stages: Sequence[MoEStage]) -> str:
    serving = sum(1 for stage in stages for rank in stage.status.ranks if rank.state == "serving")
    return f"{serving}/{sum(len(stage.spec.ranks) for stage in stages)}"
