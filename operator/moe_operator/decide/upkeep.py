"""What a pass over a MoEDeployment writes to its running stages: settings, and where copies are to be. Pure.

How a stage gets to another home layout is its own business.
"""

from __future__ import annotations

from collections.abc import Iterable

from moe_api.deployment import ExpertsSpec, MoEDeploymentSpec
from moe_api.engine import FailoverSpec, GpuPlace
from moe_api.notes import accepted_note, accepted_spec, home_layout, home_note
from moe_api.stage import MoEStage, MoEStageSpec
from moe_operator.decide.lanes import draining_lanes
from moe_operator.decide.nodes import inputs_on
from moe_operator.snapshot import DeploymentSnapshot, Node
from moe_planner.layout import StageLayout
from moe_planner.resizing import resized
from moe_planner.result import Plan

PLACES = ("evacuate", "cleared")
"""Fields of FailoverSpec: lists of nodes and GPUs."""
StageWrite = tuple[MoEStage, MoEStageSpec]
"""A stage with its notes as they should be, and its next spec."""


def stage_writes(snapshot: DeploymentSnapshot, spec: MoEDeploymentSpec, planned: Plan | None) -> tuple[StageWrite, ...]:
    """The stages that stay and are not as the spec has them; without a plan, notes stay as they are."""
    writes = []
    hosting = {node for stage in snapshot.stages for node in _nodes(stage)}
    elsewhere = frozenset(place.node for place in _places(spec.failover) if place.node not in hosting)
    for stage in snapshot.stages:
        if stage.spec.replica < spec.replicas:
            noted = stage if planned is None else _noted(stage, spec, planned, snapshot.nodes)
            draining = {"draining_lanes": draining_lanes(stage, snapshot.stages)}
            following = stage.spec.model_copy(update=_settings(spec, stage, elsewhere) | draining)
            if noted is not stage or following != stage.spec:
                writes.append((noted, following))
    return tuple(writes)


def _settings(spec: MoEDeploymentSpec, stage: MoEStage, elsewhere: frozenset[str]) -> dict[str, object]:
    """`elsewhere` are nodes that the spec names and that host no stage at all."""
    known, nodes = frozenset(_places(stage.spec.failover)), elsewhere | _nodes(stage)
    failover = spec.failover.of_stages()
    # Every rank of three stages follows a stage's commit, so one that a place does not concern is not told of it. What
    # it was told it keeps, so that the pod that comes after one of its own on that node goes elsewhere.
    told = {
        field: [place for place in getattr(failover, field) if place in known or place.node in nodes]
        for field in PLACES
    }
    return {"failover": failover.model_copy(update=told), "loads_every_seconds": spec.experts.loads_every_seconds}


def _places(failover: FailoverSpec) -> Iterable[GpuPlace]:
    return (place for field in PLACES for place in getattr(failover, field))


def _nodes(stage: MoEStage) -> frozenset[str]:
    """Where the stage's pods are, and where its GPUs have failed."""
    hosts = {rank.node for rank in stage.status.ranks if rank.node is not None}
    return frozenset(hosts | {record.node for record in stage.spec.history})


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
