from __future__ import annotations

import pytest

from moe_planner.errors import PlanError
from moe_planner.file_words import in_words_of_file
from moe_planner.planfile import read
from tests.moe_planner.planning_files import document, planned


@pytest.mark.parametrize(
    ("field", "word"),
    [
        ("parallelism.expert", "parallel_strategy.ep"),
        ("replicas", "parallel_strategy.dp"),
        ("workload.batchSize", "workload.batch_size"),
        ("hardware.insideNode.bandwidth", "hardware.inside_node.bandwidth"),
        ("model.shape.keyValueHeads", "model.key_value_heads"),
        ("model.config.hidden_size", "model.config.hidden_size"),
        ("targets.memoryShare", "performance_targets.memory_utilization"),
        ("hardware.nodes", "hardware.nodes"),
        ("experts.copies", "experts.copies"),
    ],
)
def test_fields_are_named_as_the_file_names_them(field: str, word: str) -> None:
    assert in_words_of_file(PlanError(field, 1, "rule", "remedy")).field == word


def test_rules_and_remedies_speak_of_the_file_too() -> None:
    with pytest.raises(PlanError) as caught:
        planned(read(document(workload={"kv_tokens_per_lane": 4096})))
    assert str(in_words_of_file(caught.value)) == (
        "workload.max_sequence_length = 10240: does not fit the KV cache of one lane, kv_tokens_per_lane = 4096 "
        "tokens; raise workload.kv_tokens_per_lane or lower workload.max_sequence_length"
    )
    with pytest.raises(PlanError) as caught:
        planned(read(document(parallel_strategy={"ep": 12, "pp": 2}, gpu_configuration={"nodes_required": 32})))
    assert in_words_of_file(caught.value).field == "parallel_strategy.ep"
