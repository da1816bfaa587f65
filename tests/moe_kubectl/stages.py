"""A deployment and its stages as an operator would have written them, with one GPU masked."""

from __future__ import annotations

from moe_api.convert import room, stage_layout, stage_spec, with_layout
from moe_api.deployment import MoEDeployment
from moe_api.notes import stage_notes
from moe_api.planning import plan_deployment
from moe_api.stage import MaskedRank, MoEStage, MoEStageSpec, MoEStageStatus, MoveStatus, RankStatus
from moe_planner.rehost import rehost
from tests.moe_api.objects import deployment


def small_with_a_masked_gpu() -> tuple[MoEDeployment, list[MoEStage]]:
    """Rank 6 (stage 1, third GPU) is lost: its expert 6 and its lane 2 have moved."""
    one = deployment("small")
    planned = plan_deployment(one)
    first, second = (stage_spec(one, planned, replica=0, stage=number) for number in range(2))
    lost = rehost(stage_layout(second), lost=frozenset({6}), room=room(second)).layout
    mask = MaskedRank(rank=6, reason="GPUFailed", node="node-1", gpu=2)
    notes = [stage_notes(one.spec, spec) for spec in (first, second)]
    return one, [_stage(first, notes[0], 1), _stage(with_layout(second, lost, masks={6: mask}), notes[1], 2)]


def _stage(spec: MoEStageSpec, notes: dict[str, str], generation: int) -> MoEStage:
    move = MoveStatus(time="2026-01-01T00:00:00Z", cause="gpu", rank=6, node="node-1", gpu=2, experts=[6], to_ranks=[4])
    status = MoEStageStatus(
        ranks=[RankStatus(rank=r.rank, node=r.node, state="serving") for r in spec.ranks],
        ready_experts=len(spec.experts),
        total_experts=len(spec.experts),
        moves=[move] if spec.masked else [],
    )
    name = f"small-r0-s{spec.stage:02d}"
    return MoEStage.load(
        {
            "metadata": {"name": name, "generation": generation, "annotations": notes},
            "spec": spec.dump(),
            "status": status.dump(),
        }
    )
