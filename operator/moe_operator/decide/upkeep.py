"""What a pass over a MoEDeployment writes to its running stages: settings, and where copies are to be. Pure.

How a stage gets to another home layout is its own business.
"""

from __future__ import annotations

from collections.abc import Iterable

from moe_api.deployment import ExpertsSpec, MoEDeploymentSpec
from moe_api.notes import accepted_note, accepted_spec, home_layout, home_note
from moe_api.stage import MoEStage, MoEStageSpec
from moe_operator.decide.lanes import draining_lanes
from moe_operator.decide.nodes import inputs_on
from moe_operator.snapshot import DeploymentSnapshot, Node
from moe_planner.layout import StageLayout
from moe_planner.resizing import resized
from moe_planner.result import Plan

StageWrite = tuple[MoEStage, MoEStageSpec]
"""A stage with its notes as they should be, and its next spec."""


def stage_writes(snapshot: DeploymentSnapshot, spec: MoEDeploymentSpec, planned: Plan | None) -> tuple[StageWrite, ...]:
    """The stages that stay and are not as the spec has them; without a plan, notes stay as they are."""
    writes = []
    for stage in snapshot.stages:
        if stage.spec.replica < spec.replicas:
            noted = stage if planned is None else _noted(stage, spec, planned, snapshot.nodes)
            draining = {"draining_lanes": draining_lanes(stage, snapshot.stages)}
            following = stage.spec.model_copy(update=_settings(spec) | draining)
            if noted is not stage or following != stage.spec:
                writes.append((noted, following))
    return tuple(writes)


def _settings(spec: MoEDeploymentSpec) -> dict[str, object]:
    return {"failover": spec.failover.of_stages(), "loads_every_seconds": spec.experts.loads_every_seconds}


def _noted(stage: MoEStage, spec: MoEDeploymentSpec, planned: Plan, nodes: Iterable[Node]) -> MoEStage:
    """The stage with the notes for the spec's copies; itself when they are for that already."""
    accepted = accepted_spec(stage)
    if accepted.experts == spec.experts:
        return stage
    notes = accepted_note(accepted.model_copy(update={"experts": spec.experts}))
    layout = planned.layouts[stage.spec.replica].stages[stage.spec.stage]
    if accepted.experts.rebalance and not spec.experts.rebalance:
        notes |= home_note(layout)
    elif _numbers(accepted.experts) != _numbers(spec.experts):
        notes |= home_note(_next_home(stage, spec, layout, nodes))
    metadata = stage.metadata.model_copy(update={"annotations": stage.metadata.annotations | notes})
    return stage.model_copy(update={"metadata": metadata})


def _numbers(experts: ExpertsSpec) -> ExpertsSpec:
    """What decides how many copies there are; where they are follows the load as long as it is asked to."""
    return experts.model_copy(update={"rebalance": None})


def _next_home(stage: MoEStage, spec: MoEDeploymentSpec, planned: StageLayout, nodes: Iterable[Node]) -> StageLayout:
    inputs = inputs_on(nodes, spec)
    return resized(home_layout(stage), planned, inputs.rates, batch=inputs.sequences, racks=inputs.racks)
