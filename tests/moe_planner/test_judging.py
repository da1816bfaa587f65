from __future__ import annotations

import pytest

from moe_planner.planfile import judge, read
from moe_planner.planning_file import LineVerdict
from tests.moe_planner.planning_files import document, planned


def verdicts(**parts: object) -> dict[str, LineVerdict]:
    file = read(document(**parts))
    return {line.key: line for line in judge(file, planned(file))}


def test_every_line_of_the_document_is_judged_in_its_order() -> None:
    assert {key.rpartition(".")[2]: line.verdict for key, line in verdicts().items()} == {
        "ep": "holds",
        "pp": "holds",
        "tp": "holds",
        "sp": "holds",
        "dp": "holds",
        "total_gpus": "holds",
        "gpus_per_node": "holds",
        "nodes_required": "holds",
        "expert_parameters": "holds",
        "kv_cache": "fails",
        "activation_buffer": "holds",
        "total_usage": "holds",
        "ttft": "holds",
        "throughput (prefill)": "holds",
        "throughput (decode)": "unreachable",
        "memory_utilization": "holds",
    }


def test_the_documents_ep_is_answered_with_both_its_meanings() -> None:
    line = verdicts()["parallel_strategy.ep"]
    assert (line.written, line.computed) == ("256", "16 per stage")
    assert line.why == (
        "256 counts the expert ranks of all 16 stages, which is EP 16 in each; EP 256 in each would be 4096 GPUs"
    )


def test_the_documents_cache_is_that_of_one_sequence_in_one_layer() -> None:
    line = verdicts()["memory_allocation.kv_cache"]
    assert line.computed == "167.8 MB per GPU"
    assert line.why.startswith("20.97 MB is one sequence in one layer")


def test_sizes_hold_where_they_round_to_what_was_written() -> None:
    line = verdicts()["memory_allocation.expert_parameters"]
    assert (line.written, line.computed) == ("78MB per GPU", "77.99 MB per GPU")
    assert line.why == "1 expert of 77.99 MB; with attention and routers 80.11 MB"
    assert "6.239 GB" in verdicts()["memory_allocation.activation_buffer"].why


def test_a_target_that_no_layout_meets_names_its_bound() -> None:
    line = verdicts()["performance_targets.throughput (decode)"]
    assert line.computed.startswith("140.9 tokens/s per GPU, give or take")
    assert "KV-read cap" in line.why
    assert "4.292 ktokens/s" in line.why


@pytest.mark.parametrize(
    ("configuration", "wrong"),
    [
        ({"total_gpus": 4096, "gpus_per_node": 8, "nodes_required": 512}, {"total_gpus", "nodes_required"}),
        ({"total_gpus": 256, "gpus_per_node": 8, "nodes_required": 40}, {"nodes_required"}),
    ],
)
def test_counts_that_do_not_follow_from_the_degrees_fail(configuration: dict[str, int], wrong: set[str]) -> None:
    lines = verdicts(gpu_configuration=configuration, parallel_strategy={"ep": 16, "pp": 16})
    assert {key.rpartition(".")[2] for key in lines if lines[key].verdict != "holds"} - {
        "kv_cache",
        "throughput (decode)",
    } == wrong


def test_without_figures_of_the_gpu_no_time_is_told() -> None:
    line = verdicts(hardware={"gpu_memory": "64GB"})["performance_targets.ttft"]
    assert (line.computed, line.verdict) == ("not known", "fails")
