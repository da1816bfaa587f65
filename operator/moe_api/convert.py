"""Between MoEStages and the planner's layouts, both directions, without loss."""

from collections.abc import Mapping
from dataclasses import dataclass

from moe_api import names
from moe_api.deployment import MoEDeployment, MoEDeploymentSpec
from moe_api.planning import planner_inputs
from moe_api.stage import ExpertSpec, LaneSpec, MaskedRank, MoEStageSpec, RankSpec, StageModelSpec
from moe_planner.layout import Copy, LaneSeat, Seat, StageLayout
from moe_planner.memory import experts_that_fit
from moe_planner.moves import Room
from moe_planner.result import Degrees, Plan


@dataclass(frozen=True, kw_only=True)
class PodRef:
    """The pod that has a node rank of a stage now; `uid` None until it exists."""

    name: str
    uid: str | None = None


def room(spec: MoEStageSpec, deployment: MoEDeploymentSpec | None = None) -> Room:
    """What a rank of the stage can take when others fail; the deployment tells how many experts fit its memory."""
    experts = None
    if deployment is not None:
        inputs = planner_inputs(deployment)
        degrees = Degrees(expert=spec.ranks_per_stage, pipeline=spec.stages)
        experts = experts_that_fit(inputs.shape, inputs.hardware, degrees, inputs.workload)
    return Room(lanes_per_rank=spec.engine.lanes_per_rank, experts_per_rank=experts)


def stage_layout(spec: MoEStageSpec) -> StageLayout:
    """The committed layout of a stage. Raises ValueError when a rank's pod name is none that the operator makes."""
    return StageLayout(
        stage=spec.stage,
        first_layer=spec.first_layer,
        num_layers=spec.num_layers,
        experts_per_layer=spec.model.shape.experts,
        seats=tuple(Seat(rank=r.rank, pod=_node_rank(r.pod), gpu=r.gpu, node=r.node) for r in spec.ranks),
        copies=tuple(copy for expert in spec.experts for copy in _copies(expert)),
        lanes=tuple(LaneSeat(lane=lane.lane, rank=lane.rank) for lane in spec.lanes),
        masked=tuple(m.rank for m in spec.masked),
        dense_layers=_dense_layers(spec),
    )


def with_layout(
    spec: MoEStageSpec,
    layout: StageLayout,
    *,
    pods: Mapping[int, PodRef] | None = None,
    masks: Mapping[int, MaskedRank] | None = None,
) -> MoEStageSpec:
    """The spec with the layout put in.

    `pods` (by node rank) replaces pods that changed, the others stay as they are in `spec`. `masks` (by rank) gives
    the details of newly masked ranks; those masked before keep theirs.
    """
    known = {_node_rank(r.pod): PodRef(name=r.pod, uid=r.pod_uid) for r in spec.ranks}
    details = {m.rank: m for m in spec.masked} | dict(masks or {})
    lists = layout_lists(layout, known | dict(pods or {}), details)
    return spec.model_copy(update=lists)


def layout_lists(
    layout: StageLayout, pods: Mapping[int, PodRef], masks: Mapping[int, MaskedRank]
) -> dict[str, list[RankSpec] | list[ExpertSpec] | list[LaneSpec] | list[MaskedRank]]:
    """The four lists of a MoEStage's spec that say what the layout says, by field name."""
    return {
        "ranks": [
            RankSpec(rank=s.rank, pod=pods[s.pod].name, pod_uid=pods[s.pod].uid, gpu=s.gpu, node=s.node)
            for s in layout.seats
        ],
        "experts": [
            ExpertSpec(expert=e, ranks=list(layout.hosts(e)), loading=list(layout.loading(e))) for e in layout.experts
        ],
        "lanes": [LaneSpec(lane=lane.lane, rank=lane.rank) for lane in layout.lanes],
        "masked": [masks.get(rank, MaskedRank(rank=rank, reason="Unknown")) for rank in layout.masked],
    }


def stage_spec(deployment: MoEDeployment, planned: Plan, *, replica: int, stage: int) -> MoEStageSpec:
    """The first commit of a stage: the plan's layout, with pods of attempt 0 that do not exist yet."""
    spec = deployment.spec
    layout = planned.layouts[replica].stages[stage]
    stage_object = names.stage_name(deployment.metadata.name, replica, stage)
    pods = {s.pod: PodRef(name=names.pod_name(stage_object, s.pod, 0)) for s in layout.seats}
    empty = MoEStageSpec(
        deployment=deployment.metadata.name,
        replica=replica,
        stage=stage,
        stages=len(planned.layouts[replica].stages),
        ranks_per_stage=len(layout.seats),
        first_layer=layout.first_layer,
        num_layers=layout.num_layers,
        model=StageModelSpec(
            path=spec.model.source.path,
            dtype=spec.model.dtype,
            name=deployment.served_name,
            shape=spec.model.shape,
        ),
        engine=spec.engine,
        failover=spec.failover.of_stages(),
        loads_every_seconds=spec.experts.loads_every_seconds,
        ranks=[],
        experts=[],
        lanes=[],
    )
    return empty.model_copy(update=layout_lists(layout, pods, {}))


def layout_name(planned: Plan) -> str:
    """Degrees in a few letters for a column: EP16xPP16, and xDP2 with two replicas."""
    degrees = planned.degrees
    name = f"EP{degrees.expert}xPP{degrees.pipeline}"
    return name if degrees.data == 1 else f"{name}xDP{degrees.data}"


def _dense_layers(spec: MoEStageSpec) -> tuple[int, ...]:
    """Those of the stage's layers that have no experts."""
    layers = range(spec.first_layer, spec.first_layer + spec.num_layers)
    return tuple(sorted(layer for layer in set(spec.model.shape.dense_layers or ()) if layer in layers))


def _node_rank(pod: str) -> int:
    parsed = names.parse_pod_name(pod)
    if parsed is None:
        raise ValueError(f"{pod!r} is no pod name of a stage; expected <stage>-p<node rank>-a<attempt>")
    return parsed.node_rank


def _copies(expert: ExpertSpec) -> list[Copy]:
    serving = [Copy(expert=expert.expert, rank=rank) for rank in expert.ranks]
    return serving + [Copy(expert=expert.expert, rank=rank, state="loading") for rank in expert.loading]
