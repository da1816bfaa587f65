"""The notes on a MoEStage, as annotations, so that the epoch is about the layout alone.

The MoEDeployment's spec that was accepted (pods are built from it, and a changed spec is compared with it), the
stage's home layout (where experts go back to), and the loads that its ranks counted.
"""

import json

from moe_api import names
from moe_api.convert import stage_layout
from moe_api.deployment import MoEDeploymentSpec
from moe_api.stage import ExpertSpec, LaneSpec, MoEStage, MoEStageSpec
from moe_planner.layout import StageLayout


def stage_notes(accepted: MoEDeploymentSpec, spec: MoEStageSpec) -> dict[str, str]:
    """The annotations of a stage that is made with that spec."""
    return accepted_note(accepted) | home_note(stage_layout(spec))


def accepted_note(accepted: MoEDeploymentSpec) -> dict[str, str]:
    """The annotation that says for which spec the stage is as it is."""
    return {names.ANNOTATION_ACCEPTED: _compact(accepted.dump())}


def home_note(home: StageLayout) -> dict[str, str]:
    """The annotation that says where the stage's experts and lanes are to be."""
    experts = [[expert, list(home.hosts(expert))] for expert in home.experts]
    lanes = [[lane.lane, lane.rank] for lane in home.lanes]
    return {names.ANNOTATION_HOME: _compact({"experts": experts, "lanes": lanes})}


def accepted_spec(stage: MoEStage) -> MoEDeploymentSpec:
    """The MoEDeployment's spec for which the stage was made. Raises ValueError (pydantic's is one)."""
    return MoEDeploymentSpec.model_validate_json(_note(stage, names.ANNOTATION_ACCEPTED))


def home_layout(stage: MoEStage) -> StageLayout:
    """The layout of the plan, to which experts and lanes return. Raises KeyError or ValueError (pydantic's is one)."""
    note = json.loads(_note(stage, names.ANNOTATION_HOME))
    experts = [ExpertSpec(expert=expert, ranks=ranks) for expert, ranks in note["experts"]]
    lanes = [LaneSpec(lane=lane, rank=rank) for lane, rank in note["lanes"]]
    return stage_layout(stage.spec.model_copy(update={"experts": experts, "lanes": lanes, "masked": []}))


def _note(stage: MoEStage, annotation: str) -> str:
    note = stage.metadata.annotations.get(annotation)
    if note is None:
        raise ValueError(f"it has no annotation {annotation}: MoEStages are the operator's to make; delete it")
    return note


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
