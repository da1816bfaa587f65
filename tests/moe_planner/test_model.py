from __future__ import annotations

from dataclasses import replace

import pytest

from moe_planner.model import LatentAttention, ModelShape

SHAPE = ModelShape(
    layers=4,
    experts=8,
    experts_per_token=2,
    hidden=10,
    heads=4,
    kv_heads=2,
    head_dim=3,
    expert_ffn=5,
    vocab=100,
    has_head_norms=False,
)
LATENT = LatentAttention(kv_rank=7, query_rank=6, rope_dim=2, nope_dim=4, value_dim=5)


def extra(**flags: object) -> int:
    """How many numbers the flags add to the model."""
    return replace(SHAPE, **flags).parameters - SHAPE.parameters


def test_every_number_of_a_plain_model_is_counted() -> None:
    attention = 10 * 12 + 2 * (10 * 6) + 12 * 10
    layer = attention + 2 * 10 + 10 * 8 + 8 * 3 * 10 * 5
    assert SHAPE.parameters == 4 * layer + 2 * 100 * 10 + 10


@pytest.mark.parametrize(
    ("flags", "numbers"),
    [
        ({"has_head_norms": True}, 4 * 2 * 3),
        ({"has_projection_norms": True}, 4 * (12 + 6)),
        ({"has_attention_bias": True}, 4 * (12 + 6 + 6)),
        ({"has_output_bias": True}, 4 * 10),
        ({"has_router_bias": True}, 4 * 8),
        ({"has_expert_bias": True}, 4 * 8 * (5 + 5 + 10)),
        ({"has_sinks": True}, 4 * 4),
        ({"shared_ffn": 6}, 4 * 3 * 10 * 6),
        ({"shared_ffn": 6, "has_shared_gate": True}, 4 * (3 * 10 * 6 + 10)),
        ({"gated": False}, -4 * 8 * 10 * 5),
        ({"gated": False, "has_expert_bias": True}, 4 * 8 * (5 + 10 - 10 * 5)),
        ({"tied_embeddings": True}, -100 * 10),
        ({"vocab": 0}, -2 * 100 * 10),
        ({"dense_layers": (0, 2), "dense_ffn": 11}, 2 * (3 * 10 * 11 - 10 * 8 - 8 * 3 * 10 * 5)),
    ],
)
def test_each_flag_adds_its_numbers(flags: dict[str, object], numbers: int) -> None:
    assert extra(**flags) == numbers


def test_latent_attention_counts_its_compressions_and_their_norms() -> None:
    shape = replace(SHAPE, latent=LATENT)
    queries = 10 * 6 + 6 * 4 * (4 + 2)
    keys_and_values = 10 * (7 + 2) + 7 * 4 * (4 + 5)
    assert shape.attention_parameters == queries + keys_and_values + 4 * 5 * 10
    assert shape.vector_parameters == 2 * 10 + 6 + 7
    assert replace(shape, has_attention_bias=True, has_output_bias=True).vector_parameters == 33 + 6 + 7 + 2 + 10
    direct = replace(shape, latent=replace(LATENT, query_rank=0))
    assert direct.attention_parameters == 10 * 4 * 6 + keys_and_values + 4 * 5 * 10


def test_a_token_meets_all_but_the_experts_it_was_not_sent_to() -> None:
    assert SHAPE.active_parameters == SHAPE.parameters - 4 * 6 * 150
    assert (
        replace(SHAPE, dense_layers=(0,)).active_parameters == replace(SHAPE, dense_layers=(0,)).parameters - 18 * 150
    )


def test_bytes_of_the_whole_model_are_the_sum_of_its_parts() -> None:
    shape = replace(SHAPE, dense_layers=(3,), dense_ffn=20, shared_ffn=4, has_head_norms=True, has_expert_bias=True)
    layers = sum(shape.attention_bytes_of(layer) for layer in range(4))
    last_norm = 10 * 2
    parts = layers + shape.total_experts * shape.expert_bytes + 2 * shape.embedding_bytes + last_norm
    assert parts == 2 * shape.parameters


def test_packed_numbers_have_their_own_bits_and_vectors_stay_plain() -> None:
    shape = replace(SHAPE, has_expert_bias=True, expert_bits=4.25, projection_bits=8, kv_bits=8, shared_ffn=6)
    assert shape.expert_bytes == 80 + 2 * 20  # 150 * 4.25 / 8 = 79.6875
    assert shape.shared_bytes == 180
    assert shape.router_bytes == 160
    assert shape.attention_bytes_of(0) == 360 + 2 * 20 + 160 + 180
    assert shape.kv_bytes_per_token_per_layer == 2 * 2 * 3


def test_the_largest_layer_may_be_a_dense_one() -> None:
    small = replace(SHAPE, dense_layers=(0,), dense_ffn=1)
    large = replace(SHAPE, dense_layers=(0,), dense_ffn=50)
    assert small.attention_bytes == small.attention_bytes_of(1) > small.attention_bytes_of(0)
    assert large.attention_bytes == large.attention_bytes_of(0) == 2 * (360 + 20 + 1500)


def test_what_a_layer_keeps_of_a_sequence() -> None:
    shape = replace(SHAPE, attention_window=8, window_layers=(1,))
    assert shape.kv_bytes_per_token_per_layer == 2 * 2 * 3 * 2
    assert [shape.kv_bytes(layer, 20) for layer in (0, 1)] == [20 * 24, 8 * 24]
    assert shape.kv_bytes(1, 5) == 5 * 24
    assert replace(SHAPE, latent=LATENT).kv_bytes_per_token_per_layer == (7 + 2) * 2


def test_experts_are_in_the_layers_that_are_not_dense() -> None:
    shape = replace(SHAPE, dense_layers=(0, 3))
    assert (shape.expert_layers, shape.total_experts) == ((1, 2), 16)
