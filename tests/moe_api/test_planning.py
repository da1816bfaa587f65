from __future__ import annotations

from typing import Any

import pytest

from moe_api.planning import plan_deployment, planner_inputs
from moe_planner.errors import PlanError
from moe_planner.inputs import Constraints, Gpu, Hardware, Link, Loads, NodePlace, Targets
from tests.moe_api.objects import deployment, raw


def hardware(**fields: Any) -> Hardware:
    return planner_inputs(deployment("small", hardware={"nodes": 2, "gpusPerNode": 4, **fields}).spec).hardware


def test_real_node_names_are_used() -> None:
    planned = plan_deployment(deployment("small"), nodes=["gpu-b", "gpu-a", "spare"])
    assert [s.seats[0].node for s in planned.layout.stages] == ["gpu-b", "gpu-a"]


def test_places_belong_to_the_nodes_that_are_used() -> None:
    places = [NodePlace(rack="a"), NodePlace(rack="b"), NodePlace(rack="c")]
    inputs = planner_inputs(deployment("small").spec, ["gpu-b", "gpu-a", "spare"], places)
    assert inputs.hardware.node_names == ("gpu-b", "gpu-a")
    assert inputs.hardware.places == tuple(places[:2])


def test_too_few_real_nodes_are_refused_with_their_number() -> None:
    with pytest.raises(PlanError) as caught:
        plan_deployment(deployment("small", parallelism={"expert": 4, "pipeline": 2}), nodes=["only"])
    assert (caught.value.field, caught.value.value) == ("hardware.nodes", 1)


def test_longest_sequence_defaults_to_the_engines() -> None:
    assert planner_inputs(deployment("small", workload={}).spec).workload.max_sequence_length == 2048


def test_a_profile_gives_what_is_not_declared() -> None:
    found = hardware(profile="h100-sxm")
    assert found.gpu_memory_bytes == 80_000_000_000
    assert found.gpu is not None
    assert dict(found.gpu.flops)["bfloat16"] == 989.4e12
    assert found.inside == Link(bandwidth=450e9, latency=5e-6)


def test_declared_figures_stand_before_the_profiles() -> None:
    link = {"bandwidth": "25G", "latency": "20us"}
    found = hardware(profile="h100-sxm", gpuMemory="64Gi", flops="500T", betweenNodes=link, flopsEfficiency=0.4)
    assert found.gpu_memory_bytes == 64 * 2**30
    assert found.gpu is not None
    assert found.gpu.flops[0] == ("float32", 500e12)
    assert found.between == Link(bandwidth=25e9, latency=20e-6)
    assert (found.flops_efficiency, found.bandwidth_efficiency) == (0.4, 0.8)


def test_figures_alone_are_a_gpu_and_half_of_them_are_none() -> None:
    found = hardware(gpuMemory="64Gi", flops="400T", memoryBandwidth="1.8T")
    assert found.gpu == Gpu(name="declared", flops=(("float32", 400e12),), memory_bandwidth=1.8e12)
    assert hardware(gpuMemory="64Gi", flops="400T").gpu is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "hardware.gpuMemory = nothing: the memory of a GPU must be known; write e.g. 80G, or hardware.profile"),
        ({"profile": "h900"}, "hardware.profile = h900: must be one of h100-sxm, "),
    ],
)
def test_hardware_that_is_not_known_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError) as caught:
        hardware(**fields)
    assert str(caught.value).startswith(message)


def test_targets_loads_and_wishes_reach_the_planner() -> None:
    values = raw()["spec"]["workload"] | {"requestsPerSecond": 2.5, "expertLoad": {"kind": "zipf", "exponent": 1.2}}
    inputs = planner_inputs(
        deployment(
            "small",
            workload=values,
            targets={"timeToFirstToken": "10s", "timePerOutputToken": "100ms", "memoryShare": 0.02},
            experts={"copies": 1, "copiesOf": [{"expert": 5, "copies": 2}], "spareCopies": 3, "survive": "gpu"},
            parallelism={"objective": "cheapest"},
        ).spec
    )
    assert inputs.targets == Targets(time_to_first_token=10.0, time_per_output_token=0.1, memory_share=0.02)
    assert inputs.loads == Loads(kind="zipf", zipf_exponent=1.2)
    assert inputs.workload.requests_per_second == 2.5
    assert inputs.constraints == Constraints(copies_of=((5, 2),), spare_copies=3, survive="gpu", objective="cheapest")


def test_bad_gpus_are_named_by_node_and_index() -> None:
    assert hardware(gpuMemory="64Gi", badGpus=[{"node": "node-1", "gpu": 3}]).bad_gpus == {("node-1", 3)}


def test_the_same_question_is_answered_once() -> None:
    first = plan_deployment(deployment("small"))
    assert plan_deployment(deployment("small")) is first
    assert plan_deployment(deployment("small", targets={"memoryShare": 0.5})) is not first
