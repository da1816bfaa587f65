from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings

from moe_planner.errors import PlanError
from moe_planner.inputs import Constraints, Hardware
from moe_planner.layout import StageLayout
from moe_planner.plan import plan
from moe_planner.result import Degrees
from tests.moe_planner.inputs import SHAPE, WORKLOAD, Inputs, any_inputs, hardware, make, planned_or_none


def held(stage: StageLayout) -> list[tuple[int, ...]]:
    return [stage.held(rank) for rank in stage.ranks]


def test_reference_is_sixteen_stages_of_sixteen_ranks_with_one_expert_each() -> None:
    planned = make()
    assert planned.degrees == Degrees(expert=16, pipeline=16)
    assert (planned.gpus_per_pod, planned.pods_per_stage) == (8, 2)
    for number, stage in enumerate(planned.layout.stages):
        assert (stage.first_layer, stage.num_layers) == (number, 1)
        assert held(stage) == [(16 * number + i,) for i in range(16)]
        assert [stage.lanes_at(rank) for rank in stage.ranks] == [(i,) for i in range(16)]
        assert stage.ranks == tuple(range(16 * number, 16 * number + 16))
        assert [(s.pod, s.gpu) for s in stage.seats] == [(i // 8, i % 8) for i in range(16)]
        assert [s.node for s in stage.seats] == [f"node-{2 * number + i // 8}" for i in range(16)]
    assert planned.conclusion.startswith(
        "16 stages x 16 experts = 256 ranks on 32 nodes, one expert per GPU, one layer per stage, TP=SP=DP=1; "
    )
    assert all(check.verdict == "holds" for check in planned.verification)


def test_small_is_two_stages_of_four_ranks_one_pod_each() -> None:
    planned = make(layers=2, experts=4, nodes=2, gpus=4)
    assert (planned.degrees.expert, planned.degrees.pipeline, planned.pods_per_stage) == (4, 2, 1)


def test_half_the_gpus_give_stages_of_two_layers_each_spread_over_all_ranks() -> None:
    stage = make(nodes=16).layout.stages[1]
    assert (stage.first_layer, stage.num_layers) == (2, 2)
    assert held(stage)[:2] == [(32, 48), (33, 49)]


def test_several_experts_of_a_layer_stand_in_contiguous_blocks() -> None:
    stage = make(layers=1, experts=16, nodes=1, gpus=4).layout.stages[0]
    assert held(stage) == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11), (12, 13, 14, 15)]


def test_a_stage_smaller_than_a_node_takes_a_part_of_it() -> None:
    planned = make(layers=2, experts=4, nodes=1, gpus=8)
    assert (planned.gpus_per_pod, planned.pods_per_stage) == (4, 1)
    assert {s.node for stage in planned.layout.stages for s in stage.seats} == {"node-0"}


def test_uneven_layers_differ_by_one() -> None:
    stages = make(layers=5, experts=4, nodes=2, gpus=4, constraints=Constraints(pipeline=2)).layout.stages
    assert [(s.first_layer, s.num_layers) for s in stages] == [(0, 3), (3, 2)]


def test_replicas_take_nodes_of_their_own() -> None:
    first, second = make(layers=1, experts=4, nodes=2, gpus=4, constraints=Constraints(replicas=2)).layouts
    assert {s.node for s in first.stages[0].seats} == {"node-0"}
    assert {s.node for s in second.stages[0].seats} == {"node-1"}


def test_given_node_names_are_used_in_their_order() -> None:
    named = Hardware(nodes=("b", "a"), gpus_per_node=4, gpu_memory_bytes=1 << 36)
    planned = plan(replace(SHAPE, layers=2, experts=4), named, WORKLOAD, Constraints())
    assert [stage.seats[0].node for stage in planned.layout.stages] == ["b", "a"]


def test_copies_stand_on_the_next_pod() -> None:
    stage = make(layers=1, experts=8, nodes=2, gpus=4, constraints=Constraints(copies=2)).layout.stages[0]
    assert stage.hosts(0) == (0, 4)
    assert stage.coverage == 2


def test_reasoning_follows_the_mandatory_order() -> None:
    titles = [step.title for step in make().reasoning]
    assert titles == [
        "Structure of the model",
        "Expert and pipeline parallelism",
        "Tensor and sequence parallelism",
        "Data parallelism",
        "What the 256 GPUs buy",
    ]


@pytest.mark.parametrize(
    ("constraints", "field", "words"),
    [
        (Constraints(tensor=3), "parallelism.tensor", "fill it in whole seats"),
        (Constraints(sequence=16), "parallelism.sequence", "share one node of 8"),
        (Constraints(data=2), "parallelism.data", "replicas = 1"),
        (Constraints(pipeline=17), "parallelism.pipeline", "16 layers"),
        (Constraints(expert=12), "parallelism.expert", "whole pods of 8"),
        (Constraints(expert=256, pipeline=16), "parallelism.expert", "16 per stage"),
        (Constraints(expert=16, pipeline=16, replicas=2), "hardware.nodes", "64 nodes"),
        (Constraints(copies=300), "experts.copies", "fewer copies"),
        (Constraints(expert=0), "parallelism.expert", "at least 1"),
    ],
)
def test_degrees_that_cannot_be_are_refused_with_rule_and_remedy(
    constraints: Constraints, field: str, words: str
) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        plan(SHAPE, hardware(), WORKLOAD, constraints)
    assert caught.value.field == field
    assert caught.value.remedy


def test_fixed_degrees_are_honoured() -> None:
    assert make(constraints=Constraints(expert=8)).degrees == Degrees(expert=8, pipeline=16)
    assert make(constraints=Constraints(pipeline=4)).degrees == Degrees(expert=64, pipeline=4)
    assert make(constraints=Constraints(expert=256, pipeline=1)).degrees == Degrees(expert=256, pipeline=1)


def test_a_seat_has_more_gpus_only_where_one_is_too_small_and_then_the_plan_says_that_it_cannot_run() -> None:
    planned = make(memory=5 << 20)
    assert planned.degrees == Degrees(expert=4, pipeline=16, tensor=2)
    assert [(one.field, one.value) for one in planned.unsupported] == [("parallelism.tensor", 2)]
    assert "16 stages x 4 ranks = 64 ranks of 2 GPUs on 16 nodes" in planned.conclusion
    assert [seat.gpu for seat in planned.layout.stages[0].seats] == [0, 2, 4, 6]
    assert make().unsupported == ()


def test_an_expert_too_large_for_a_node_is_refused_with_its_size() -> None:
    """One expert of 3 * 64 * 2^20 * 4 bytes = 768 MiB, on 8 GPUs 96 MiB."""
    shape = replace(SHAPE, expert_ffn=1 << 20)
    with pytest.raises(PlanError, match=r"one expert has 768 MiB, and 96 MiB even split over the 8 GPUs of a seat"):
        plan(shape, hardware(memory=64 << 20), WORKLOAD, Constraints())


def test_a_node_too_small_names_the_numbers() -> None:
    with pytest.raises(PlanError, match=r"need 5\.426 MiB on a GPU .*KV cache 3 MiB.*at least 6\.0") as caught:
        make(memory=4 << 20, constraints=Constraints(tensor=1, sequence=1))
    assert (caught.value.field, caught.value.value) == ("hardware.gpuMemory", "4 MiB")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"layers": 0}, "model.shape.layers"),
        ({"experts_per_token": 17}, "model.shape.expertsPerToken"),
        ({"kv_heads": 3}, "model.shape.keyValueHeads"),
        ({"max_positions": 400}, "workload.maxSequenceLength"),
        ({"max_positions": 5000}, "engine.maxSequenceLength"),
    ],
)
def test_contradictory_shapes_are_refused(change: dict[str, int], field: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan(replace(SHAPE, **change), hardware(), WORKLOAD, Constraints())
    assert caught.value.field == field


@settings(max_examples=100, deadline=None)
@given(any_inputs())
def test_every_plan_hosts_every_expert_once_per_copy_and_balanced(inputs: Inputs) -> None:
    planned = planned_or_none(inputs)
    if planned is None:
        return
    shape, constraints = inputs.shape, inputs.constraints
    counts = Counter(copy.expert for stage in planned.layout.stages for copy in stage.copies)
    assert counts == dict.fromkeys(range(shape.total_experts), constraints.copies)
    for stage in planned.layout.stages:
        assert len({(c.expert, c.rank) for c in stage.copies}) == len(stage.copies)
        assert {c.rank for c in stage.copies} <= set(stage.ranks)
        loads = [len(stage.held(rank)) for rank in stage.ranks]
        assert max(loads) - min(loads) <= constraints.copies
        assert min(loads) >= 1


@settings(max_examples=100, deadline=None)
@given(any_inputs())
def test_every_plan_fits_the_hardware_and_never_shares_a_pod(inputs: Inputs) -> None:
    planned = planned_or_none(inputs)
    if planned is None:
        return
    gpus = Counter(seat.node for layout in planned.layouts for stage in layout.stages for seat in stage.seats)
    assert set(gpus) <= set(inputs.hardware.node_names)
    assert max(gpus.values()) <= inputs.hardware.gpus_per_node
    for layout in planned.layouts:
        assert [r for stage in layout.stages for r in stage.ranks] == list(range(layout.num_ranks))
        for stage in layout.stages:
            pods = Counter(seat.pod for seat in stage.seats)
            assert set(pods.values()) == {planned.gpus_per_pod}
            assert all(len({s.node for s in stage.seats if s.pod == pod}) == 1 for pod in pods)


@settings(max_examples=50, deadline=None)
@given(any_inputs())
def test_same_input_gives_the_same_plan(inputs: Inputs) -> None:
    assert repr(planned_or_none(inputs)) == repr(planned_or_none(inputs))


def test_a_plan_from_the_running_layout_keeps_it_and_says_what_is_loaded() -> None:
    running = make(nodes=16)
    again = plan(SHAPE, hardware(16), WORKLOAD, Constraints(), current=running.layout)
    assert again.layout == running.layout
    assert any("0 experts and 0 layers on a GPU are loaded" in fact for fact in again.reasoning[1].facts)
    grown = plan(SHAPE, hardware(32), WORKLOAD, Constraints(), current=running.layout)
    assert grown.degrees == Degrees(expert=16, pipeline=16)
    words = next(fact for fact in grown.reasoning[1].facts if "from the layout that runs" in fact)
    assert "128 experts" in words
