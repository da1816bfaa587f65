"""A MoEStage as it is first created: the plan's layout, and two notes that only the operator reads.

The notes are annotations, so that the epoch is about the layout alone: the MoEDeployment's spec that was accepted (pods
are built from it, and a changed spec is compared with it) and the stage's home layout (where experts go back to).
"""

from __future__ import annotations

import json

from moe_api import names
from moe_api.convert import stage_layout, stage_spec
from moe_api.deployment import MoEDeployment, MoEDeploymentSpec
from moe_api.stage import ExpertSpec, LaneSpec, MoEStage, MoEStageSpec
from moe_operator.api import Json
from moe_operator.desire.owner import metadata, owner_of
from moe_planner.layout import StageLayout
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
            {names.ANNOTATION_ACCEPTED: _compact(deployment.spec.dump()), names.ANNOTATION_HOME: _home_note(spec)},
        ),
        "spec": spec.dump(),
    }


def accepted_spec(stage: MoEStage) -> MoEDeploymentSpec:
    """The MoEDeployment's spec for which the stage was made. Raises KeyError or pydantic.ValidationError."""
    return MoEDeploymentSpec.model_validate_json(stage.metadata.annotations[names.ANNOTATION_ACCEPTED])


def home_layout(stage: MoEStage) -> StageLayout:
    """The layout of the plan, to which experts and lanes return. Raises KeyError or pydantic.ValidationError."""
    note = json.loads(stage.metadata.annotations[names.ANNOTATION_HOME])
    experts = [ExpertSpec(expert=expert, ranks=ranks) for expert, ranks in note["experts"]]
    lanes = [LaneSpec(lane=lane, rank=rank) for lane, rank in note["lanes"]]
    return stage_layout(stage.spec.model_copy(update={"experts": experts, "lanes": lanes, "masked": []}))


def _home_note(spec: MoEStageSpec) -> str:
    experts = [[expert.expert, expert.ranks] for expert in spec.experts]
    lanes = [[lane.lane, lane.rank] for lane in spec.lanes]
    return _compact({"experts": experts, "lanes": lanes})


def _compact(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
