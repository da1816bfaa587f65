"""A MoEStage as it is first created: the plan's layout, and the notes that go with it."""

from __future__ import annotations

from moe_api import names
from moe_api.convert import stage_spec
from moe_api.deployment import MoEDeployment
from moe_api.notes import stage_notes
from moe_operator.api import Json
from moe_operator.desire.owner import metadata, owner_of
from moe_planner.result import Plan


def new_stage(deployment: MoEDeployment, planned: Plan, *, replica: int, stage: int) -> Json:
    """The first commit of one stage."""
    spec = stage_spec(deployment, planned, replica=replica, stage=stage)
    name = deployment.metadata.name
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.STAGE_KIND,
        "metadata": metadata(
            deployment.metadata.namespace,
            names.stage_name(name, replica, stage),
            names.stage_labels(name, replica, stage),
            owner_of(deployment),
            stage_notes(deployment.spec, spec),
        ),
        "spec": spec.dump(),
    }
