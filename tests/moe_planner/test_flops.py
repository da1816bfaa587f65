from __future__ import annotations

from dataclasses import replace

import pytest

from moe_planner.flops import (
    decode_flops,
    expert_flops,
    lane_flops,
    mean_tokens_seen,
    output_flops,
    prefill_flops,
    score_flops,
)
from moe_planner.model import LatentAttention
from tests.moe_planner.document import model

ATTENTION = 4 * 512 * 512
ROUTER = 512 * 16


@pytest.mark.parametrize(("chosen", "shortest", "longest"), [(1, 1.28, 1.62), (2, 2.53, 2.87)])
def test_the_documents_token_takes_what_its_facts_say(chosen: int, shortest: float, longest: float) -> None:
    shape = model(chosen)
    assert round(decode_flops(shape, 0) / 1e9, 2) == shortest
    assert round(decode_flops(shape, 10240) / 1e9, 2) == longest


def test_a_token_costs_two_operations_for_each_weight_and_four_for_each_number_it_attends_to() -> None:
    matrices = 2 * 16 * (2 * 512 * 38_082 + ATTENTION + ROUTER)
    assert decode_flops(model(), 100) == matrices + 4 * 100 * 512 * 16
    assert prefill_flops(model(), 100) == matrices + 4 * 50 * 512 * 16


def test_an_expert_has_two_matrices_or_three_when_gated() -> None:
    assert expert_flops(model()) == 2 * 2 * 512 * 38_082
    assert expert_flops(replace(model(), gated=True)) == 2 * 3 * 512 * 38_082


def test_a_dense_layer_has_its_network_instead_of_router_and_experts() -> None:
    shape = replace(model(), dense_layers=(0,), dense_ffn=100, shared_ffn=10)
    assert lane_flops(shape, 0) == 2 * (ATTENTION + 2 * 512 * 100)
    assert lane_flops(shape, 1) == 2 * (ATTENTION + ROUTER + 2 * 512 * 10)


def test_a_window_cuts_what_is_attended_to() -> None:
    shape = replace(model(), attention_window=8, window_layers=tuple(range(15)))
    assert decode_flops(shape, 100) - decode_flops(shape, 0) == 4 * 512 * (15 * 8 + 100)
    assert mean_tokens_seen(100, 100) == 50
    assert mean_tokens_seen(100, 8) == 8 - 0.32


def test_latent_attention_scores_with_keys_and_sums_values_of_their_own_sizes() -> None:
    latent = LatentAttention(kv_rank=512, query_rank=0, rope_dim=64, nope_dim=128, value_dim=128)
    assert score_flops(replace(model(), latent=latent)) == 2 * 16 * (128 + 64 + 128)


def test_only_sampled_tokens_meet_the_vocabulary() -> None:
    assert output_flops(replace(model(), vocab=1000)) == 2 * 1000 * 512
