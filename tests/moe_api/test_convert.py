from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from moe_api.convert import PodRef, layout_name, room, stage_layout, stage_spec
from moe_api.convert import with_layout as put
from moe_api.planning import plan_deployment
from moe_api.stage import MaskedRank, MoEStageSpec
from moe_planner.home import home
from moe_planner.rehost import rehost
from tests.moe_api.objects import deployment, raw, stage


def test_first_commit_of_a_stage_is_the_plans_layout() -> None:
    one = deployment("reference")
    planned = plan_deployment(one)
    spec = stage_spec(one, planned, replica=0, stage=3)
    assert stage_layout(spec) == planned.layout.stages[3]
    assert (spec.stages, spec.ranks_per_stage, spec.first_layer, spec.num_layers) == (16, 16, 3, 1)
    assert spec.ranks[3].dump() == {"rank": 51, "pod": "reference-r0-s03-p0-a0", "gpu": 3, "node": "node-6"}
    assert spec.experts[3].dump() == {"expert": 51, "ranks": [51], "loading": []}
    assert spec.lanes[3].dump() == {"lane": 3, "rank": 51}
    assert spec.model.name == "qwen3-moe-demo"
    assert layout_name(planned) == "EP16xPP16"


def test_pods_and_masks_are_kept_unless_given_anew() -> None:
    before = put(stage(), stage_layout(stage()), pods={0: PodRef(name="small-r0-s00-p0-a1", uid="u1")})
    mask = MaskedRank(rank=1, reason="GPUFailed", message="XID 79", node="node-0", gpu=1)
    lost = rehost(stage_layout(before), lost=frozenset({1}), room=room(before)).layout
    after = put(before, lost, masks={1: mask})
    assert {(r.pod, r.pod_uid) for r in after.ranks} == {("small-r0-s00-p0-a1", "u1")}
    assert after.masked == [mask]
    assert put(after, stage_layout(after)) == after


def test_room_knows_how_many_experts_fit_the_memory() -> None:
    tight = deployment("small", hardware={"nodes": 2, "gpusPerNode": 4, "gpuMemory": "6Mi"})
    assert room(stage(), tight.spec).experts_per_rank == 4
    assert room(stage()).experts_per_rank is None


def test_layers_without_experts_go_through_the_resource() -> None:
    shape = raw()["spec"]["model"]["shape"] | {"layers": 4, "denseLayers": [0, 1, 3], "denseFfnSize": 96}
    one = deployment("small", model=raw()["spec"]["model"] | {"shape": shape})
    planned = plan_deployment(one)
    for layout in planned.layout.stages:
        spec = MoEStageSpec.load(stage_spec(one, planned, replica=0, stage=layout.stage).dump())
        assert stage_layout(spec) == layout
        assert [expert.expert for expert in spec.experts] == list(layout.experts)
    assert [expert for stage in planned.layout.stages for expert in stage.experts] == [8, 9, 10, 11]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_layout_goes_through_the_resource_and_its_json_without_loss(data: st.DataObject) -> None:
    spec = stage("small")
    layout = stage_layout(spec)
    for _ in range(data.draw(st.integers(0, 3))):
        lost = data.draw(st.frozensets(st.sampled_from(layout.ranks)))
        layout = rehost(layout, lost=lost, room=room(spec)).layout
        available = data.draw(st.frozensets(st.sampled_from(layout.ranks)))
        layout = home(layout, stage_layout(stage("small")), available=available)
        spec = MoEStageSpec.load(put(spec, layout).dump())
        assert stage_layout(spec) == layout
