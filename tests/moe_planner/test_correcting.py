from __future__ import annotations

from typing import Any

import pytest

from moe_planner.planfile import corrected, judge, read
from tests.moe_planner.configs_of import config
from tests.moe_planner.planning_files import document, planned


def corrected_of(values: dict[str, Any]) -> dict[str, Any]:
    file = read(values)
    return corrected(file, planned(file))


def test_the_documents_block_corrected() -> None:
    assert corrected_of(document()) == {
        "parallel_strategy": {"ep": 16, "pp": 16, "tp": 1, "sp": 1, "dp": 1},
        "gpu_configuration": {"total_gpus": 256, "gpus_per_node": 8, "nodes_required": 32},
        "memory_allocation": {
            "expert_parameters": "78MB per GPU",
            "kv_cache": "167.8 MB per GPU",
            "activation_buffer": "500MB per GPU",
            "total_usage": "< 1GB per GPU",
        },
        "performance_targets": {
            "ttft": "< 10s",
            "prefill_throughput": "> 100 tokens/ms per GPU",
            "decode_throughput": ">= 0.14 tokens/ms per GPU",
            "memory_utilization": "< 2% of VRAM",
        },
    }


HARD: dict[str, object] = {
    "ttft": "< 1us",
    "decode_latency": "1ns",
    "throughput": "> 1e9 tokens/s",
    "memory_utilization": "0.001%",
    "mfu": "99%",
}


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"performance_targets": HARD},
        {"performance_targets": HARD, "parallel_strategy": {"ep": 8, "pp": 4, "dp": 2}},
        {"gpu_configuration": {"total_gpus": 100, "gpus_per_node": 8}, "parallel_strategy": {}},
        {"hardware": {"profile": "h200"}, "performance_targets": HARD},
        {"model": {"config": config("qwen3-30b-a3b")}, "hardware": {"profile": "h100-sxm"}, "parallel_strategy": {}},
        {"model": {"config": config("deepseek-v3")}, "hardware": {"profile": "b200"}, "parallel_strategy": {}},
    ],
)
def test_the_corrected_block_reads_as_a_file_whose_every_line_holds(parts: dict[str, Any]) -> None:
    values = document(**parts)
    again = {**values, **corrected_of(values)}
    file = read(again)
    assert [line for line in judge(file, planned(file)) if line.verdict != "holds"] == []
    assert corrected(file, planned(file)) == {part: again[part] for part in corrected_of(again)}


def test_targets_that_nobody_gave_are_not_made_up() -> None:
    values = document()
    del values["performance_targets"]
    assert "performance_targets" not in corrected_of(values)
