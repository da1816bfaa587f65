from __future__ import annotations

from typing import Any

import pytest

from moe_planner.errors import PlanError
from moe_planner.inputs import Link, NodePlace, Targets
from moe_planner.planfile import quote_limits, read
from tests.moe_planner.configs_of import config
from tests.moe_planner.document import DEGREES, HARDWARE, WORKLOAD, model
from tests.moe_planner.planning_files import BLOCK, document


def refused(**parts: object) -> PlanError:
    with pytest.raises(PlanError) as caught:
        read(document(**parts))
    return caught.value


def test_lower_limits_are_quoted_and_nothing_else_changes() -> None:
    quoted = BLOCK.replace("> 100 tokens/ms per GPU", '"> 100 tokens/ms per GPU"')
    assert quote_limits(BLOCK) == quoted
    assert quote_limits(quoted) == quoted
    assert quote_limits("a: >= 5  # why") == 'a: ">= 5"  # why'
    assert quote_limits("a: >\n  folded\n") == "a: >\n  folded\n"


def test_the_documents_block_is_its_reference() -> None:
    file = read(document())
    assert (file.constraints.expert, file.constraints.pipeline) == (DEGREES.expert, DEGREES.pipeline)
    assert file.workload == WORKLOAD
    assert file.hardware.num_gpus == 256
    assert (file.hardware.inside, file.hardware.gpu_memory_bytes) == (HARDWARE.inside, HARDWARE.gpu_memory_bytes)
    assert file.shape.parameters == model().parameters
    assert file.targets == Targets(
        time_to_first_token=10.0,
        prefill_throughput_per_gpu=100_000.0,
        decode_throughput_per_gpu=100_000.0,
        memory_share=0.02,
        time_per_output_token=0.1,
        flops_share=0.6,
    )


def test_every_line_of_the_block_is_kept_as_written() -> None:
    file = read(document())
    assert len(file.given) == 15
    assert file.written("parallel_strategy.ep") == 256
    assert file.written("performance_targets.ttft") == "< 10s"
    assert file.written("performance_targets.mfu") is None


def test_what_the_file_leaves_out_is_told() -> None:
    told = [name for name, _ in read(document()).assumed]
    assert told == ["expert_ffn", "experts_per_token", "vocab", "model", "hardware", "workload", "targets"]


@pytest.mark.parametrize(
    ("strategy", "gpus", "per_stage"),
    [
        ({"ep": 256, "pp": 16}, {"total_gpus": 256}, 16),
        ({"ep": 16, "pp": 16}, {"total_gpus": 256}, 16),
        ({"ep": 256, "pp": 16}, {"total_gpus": 4096}, 256),
        ({"ep": 16, "pp": 4, "dp": 4}, {"total_gpus": 256}, 16),
        ({"ep": 256, "pp": 16}, {"nodes_required": 32}, 16),
        ({"ep": 16, "pp": 16}, {"nodes_required": 32}, 16),
        ({"ep": 32, "pp": 2}, {"total_gpus": 32}, 16),
        ({"ep": 32, "pp": 2}, {"total_gpus": 64}, 32),
        ({"ep": 7, "pp": 2}, {"total_gpus": 7}, 7),
        ({"ep": "auto", "pp": 16}, {"total_gpus": 256}, None),
        ({"pp": 16}, {"total_gpus": 256}, None),
    ],
)
def test_ep_is_told_from_the_number_of_gpus_to_be_of_a_stage_or_of_all(
    strategy: dict[str, object], gpus: dict[str, int], per_stage: int | None
) -> None:
    assert read({"parallel_strategy": strategy, "gpu_configuration": gpus}).constraints.expert == per_stage


def test_a_models_config_a_profile_and_a_workload_may_be_named() -> None:
    file = read(
        {
            "parallel_strategy": {"ep": 8},
            "model": {"config": config("mixtral-8x7b")},
            "hardware": {"profile": "h100-sxm", "nodes": ["a", "b"], "places": {"b": {"rack": "r2"}}},
            "workload": {"batch_size": 64, "max_sequence_length": 4096, "requests_per_second": 2.5},
        }
    )
    assert (file.shape.family, file.shape.max_positions) == ("mixtral", 4096)
    assert (file.hardware.nodes, file.hardware.gpus_per_node) == (("a", "b"), 8)
    assert file.hardware.gpu_memory_bytes == 80 * 10**9
    assert file.hardware.places == (NodePlace(), NodePlace(rack="r2"))
    assert file.workload.kv_tokens_per_lane == 8 * 4096
    assert file.workload.requests_per_second == 2.5
    assert file.assumed == ()


def test_hardware_may_be_declared_by_its_figures() -> None:
    figures = {
        "gpu_memory": "64GiB",
        "flops": "100 TFLOP/s",
        "memory_bandwidth": "1 TB/s",
        "inside_node": {"bandwidth": "400 Gbit/s", "latency": "5us"},
        "bandwidth_efficiency": "90%",
        "bad_gpus": [{"node": "node-3", "gpu": 2}],
    }
    hardware = read(document(hardware=figures)).hardware
    assert hardware.gpu_memory_bytes == 64 << 30
    assert hardware.gpu is not None
    assert (hardware.gpu.flops, hardware.gpu.memory_bandwidth) == ((("float16", 100e12),), 1e12)
    assert (hardware.inside, hardware.between) == (Link(bandwidth=50e9, latency=5e-6), None)
    assert (hardware.flops_efficiency, hardware.bandwidth_efficiency) == (0.6, 0.9)
    assert hardware.bad_gpus == frozenset({("node-3", 2)})


def test_declared_sizes_need_no_totals() -> None:
    sizes = {"layers": 2, "experts": 4, "experts_per_token": 2, "hidden_size": 64, "heads": 4, "head_size": 16}
    shape = read(document(model={**sizes, "expert_ffn_size": 96, "dtype": "float32"})).shape
    assert (shape.expert_bytes, shape.vocab) == (4 * 3 * 64 * 96, 0)


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"parallel_strategy": 16}, "parallel_strategy"),
        ({"parallel_strategy": {"ep": 0}}, "parallel_strategy.ep"),
        ({"parallel_strategy": {"ep": "many"}}, "parallel_strategy.ep"),
        ({"parallel_strategy": {"expert": 16}}, "parallel_strategy.expert"),
        ({"gpu_configuration": {"gpus_per_node": 8}}, "gpu_configuration.nodes_required"),
        ({"gpu_configuration": {"nodes_required": -1}}, "gpu_configuration.nodes_required"),
        ({"memory_allocation": {"kv_cache": "20 apples"}}, "memory_allocation.kv_cache"),
        ({"performance_targets": {"ttft": "> 10s"}}, "performance_targets.ttft"),
        ({"performance_targets": {"ttft": "0s"}}, "performance_targets.ttft"),
        ({"performance_targets": {"throughput": "< 100 tokens/ms"}}, "performance_targets.throughput"),
        ({"performance_targets": {"memory_utilization": "150%"}}, "performance_targets.memory_utilization"),
        ({"model": {}}, "model.heads"),
        ({"model": {"config": 7}}, "model.config"),
        ({"model": {"config": {"model_type": "gpt2"}}}, "model.config.model_type"),
        ({"hardware": {"profile": "v100"}}, "hardware.profile"),
        ({"hardware": {"flops": "1 TFLOP/s"}}, "hardware.gpu_memory"),
        ({"hardware": {"gpu_memory": "1GB", "flops": "1 TFLOP/s"}}, "hardware.memory_bandwidth"),
        ({"hardware": {"inside_node": {"bandwith": "1GB/s"}}}, "hardware.inside_node.bandwith"),
        ({"hardware": {"nodes": [1, 2]}}, "hardware.nodes"),
        ({"hardware": {"nodes": 2, "places": {"node-2": {}}}}, "hardware.places.node-2"),
        ({"hardware": {"bad_gpus": [3]}}, "hardware.bad_gpus"),
        ({"workload": {"batch_size": 0}}, "workload.batch_size"),
        ({"workload": {"requests_per_second": "often"}}, "workload.requests_per_second"),
        ({"extra": {}}, "extra"),
    ],
)
def test_a_wrong_line_is_refused_by_its_key(parts: dict[str, object], field: str) -> None:
    assert refused(**parts).field == field


def test_a_file_with_none_of_the_blocks_is_no_planning_file() -> None:
    for values in ({}, {"model": {}}, {"parallel_strategy": None}):
        with pytest.raises(PlanError) as caught:
            read(values)
        assert caught.value.field == "parallel_strategy"


@pytest.mark.parametrize("values", [None, [], "text", 7])
def test_a_file_that_is_no_mapping_is_refused(values: Any) -> None:
    with pytest.raises(PlanError) as caught:
        read(values)
    assert (caught.value.field, caught.value.rule) == ("planning file", "must be a mapping of keys to values")


def test_a_sequence_longer_than_the_model_allows_is_refused() -> None:
    error = refused(model={"config": config("olmoe-1b-7b")}, workload={"max_sequence_length": 8192})
    assert str(error) == "workload.max_sequence_length = 8192: the model has 4096 positions; use 1 to 4096"
