from __future__ import annotations

from dataclasses import replace

import pytest

from moe_planner.sizes import layers_of_stages, stage_sizes, whole_model
from tests.moe_planner.document import model


@pytest.mark.parametrize(
    ("layers", "stages", "spans"), [(16, 16, (1,) * 16), (5, 2, (3, 2)), (61, 4, (16, 15, 15, 15))]
)
def test_stages_differ_by_one_layer_at_most(layers: int, stages: int, spans: tuple[int, ...]) -> None:
    assert layers_of_stages(layers, stages) == spans


def test_equal_stages_are_told_once() -> None:
    ends, between = stage_sizes(model(), 16)
    assert (ends.embeddings, between.embeddings) == (1, 0)


def test_a_stage_sums_what_its_own_layers_have() -> None:
    shape = replace(model(), dense_layers=(0, 1, 2), dense_ffn=100, attention_window=8, window_layers=(0, 3))
    first, second = stage_sizes(shape, 2)
    assert (first.layers, first.expert_layers, first.window_layers, first.full_layers) == (8, 5, 2, 6)
    assert (second.layers, second.expert_layers, second.window_layers) == (8, 8, 0)
    assert first.lane_bytes == 3 * shape.attention_bytes_of(0) + 5 * shape.attention_bytes_of(3)
    assert first.kv_bytes_per_token == 8 * 2048
    assert first.window_kv_bytes_per_token == 2 * 2048


def test_one_stage_holds_both_embeddings_unless_they_are_tied() -> None:
    assert whole_model(model()).embeddings == 2
    assert whole_model(replace(model(), tied_embeddings=True)).embeddings == 1


@pytest.mark.parametrize("stages", range(1, 17))
def test_equal_layers_and_different_layers_are_summed_alike(stages: int) -> None:
    """The short cut for equal layers agrees with the sums over all of them."""
    same = replace(model(), window_layers=tuple(range(16)), attention_window=10**6)
    plain = [(s.layers, s.lane_bytes, s.embeddings) for s in stage_sizes(model(), stages)]
    assert [(s.layers, s.lane_bytes, s.embeddings) for s in stage_sizes(same, stages)] == plain
