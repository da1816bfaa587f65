"""Every MoEStage and pod of a deployment, as the operator first makes them."""

from __future__ import annotations

from moe_api.deployment import MoEDeployment
from moe_api.notes import accepted_spec
from moe_api.planning import plan_deployment
from moe_api.stage import MoEStage
from moe_operator.api import Json
from moe_operator.desire.pods import pod
from moe_operator.desire.stages import new_stage
from moe_planner.result import Plan
from tests.moe_operator.world import IMAGES


def manifests_of(deployment: MoEDeployment) -> tuple[Plan, list[Json]]:
    """The plan, and what the operator's `desire` makes of it."""
    planned = plan_deployment(deployment)
    bodies: list[Json] = []
    for replica, layout in enumerate(planned.layouts):
        for stage in layout.stages:
            bodies.extend(_stage_and_pods(deployment, planned, replica, stage.stage))
    return planned, bodies


def _stage_and_pods(deployment: MoEDeployment, planned: Plan, replica: int, number: int) -> list[Json]:
    body = new_stage(deployment, planned, replica=replica, stage=number)
    stage = MoEStage.load(body)
    node_ranks = sorted({seat.pod for seat in planned.layouts[replica].stages[number].seats})
    accepted = accepted_spec(stage)
    return [body, *(pod(stage, accepted, IMAGES, node_rank=rank, attempt=0) for rank in node_ranks)]
