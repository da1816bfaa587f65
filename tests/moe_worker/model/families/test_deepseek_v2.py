from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_worker.model.errors import CheckpointError
from moe_worker.model.families.registry import read_family
from tests.moe_worker.model.families.conftest import assert_equal_to_transformers

SIZES: dict[str, Any] = {"num_key_value_heads": 4, "n_routed_experts": 8, "n_shared_experts": 1}
SIZES |= {"moe_intermediate_size": 32, "intermediate_size": 80, "kv_lora_rank": 24, "q_lora_rank": None}
SIZES |= {"qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12}
SAVED = Callable[..., Path]


def test_the_cache_holds_one_compressed_row_a_token(saved: SAVED) -> None:
    driver = assert_equal_to_transformers(saved("deepseek_v2", **SIZES))
    batch = driver.stages[0].begin(0, [driver.segment(9, 0, 1, None)], [[7]], None)
    layers, heads, _, width = batch.cache.data.shape
    assert (layers, heads, width) == (2, 1, 24 + 8)


def test_queries_may_be_compressed_too(saved: SAVED) -> None:
    assert_equal_to_transformers(saved("deepseek_v2", **SIZES | {"q_lora_rank": 20}))


def test_a_token_s_experts_may_be_limited_to_groups(saved: SAVED) -> None:
    limits = {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2, "num_experts_per_tok": 3}
    driver = assert_equal_to_transformers(saved("deepseek_v2", **SIZES | limits))
    batch = driver.stages[0].begin(0, [driver.segment(9, 0, 50, None)], [list(range(50))], None)
    driver.stages[0].attend(batch, 0)
    assert batch.dispatched is not None
    rows = dict[int, set[int]]()
    experts = [e for e, n in zip(batch.dispatched.experts, batch.dispatched.counts, strict=True) for _ in range(n)]
    for expert, row in zip(experts, batch.dispatched.rows.tolist(), strict=True):
        rows.setdefault(row, set()).add(expert // 2)
    assert {len(groups) for groups in rows.values()} == {2}


@pytest.mark.parametrize("dense", [0, 1, 2])
def test_the_first_layers_may_have_no_experts(saved: SAVED, dense: int) -> None:
    driver = assert_equal_to_transformers(saved("deepseek_v2", **SIZES | {"first_k_dense_replace": dense}))
    assert driver.stages[0].config.expert_ids(range(2)) == list(range(8 * dense, 16))


@pytest.mark.parametrize(
    "variant", [{"topk_method": "noaux_tc"}, {"norm_topk_prob": True}, {"attention_bias": True}, {"mlp_bias": True}]
)
def test_variants_that_would_change_the_numbers_are_refused(saved: SAVED, variant: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=f"{next(iter(variant))} {next(iter(variant.values()))!r}"):
        read_family(saved("deepseek_v2", **SIZES | variant))
