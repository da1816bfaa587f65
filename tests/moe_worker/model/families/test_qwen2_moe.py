from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_worker.model.errors import CheckpointError
from moe_worker.model.families.registry import read_family
from tests.moe_worker.model.families.conftest import assert_equal_to_transformers

SIZES: dict[str, Any] = {"num_experts": 4, "intermediate_size": 80, "moe_intermediate_size": 32}
SIZES |= {"shared_expert_intermediate_size": 48}
SAVED = Callable[..., Path]


@pytest.mark.parametrize("variant", [{"norm_topk_prob": True}, {"qkv_bias": False}, {"tie_word_embeddings": True}])
def test_variants_are_computed(saved: SAVED, variant: dict[str, Any]) -> None:
    assert_equal_to_transformers(saved("qwen2_moe", **SIZES | variant))


def test_layers_without_experts_are_every_second_or_named(saved: SAVED) -> None:
    folder = saved("qwen2_moe", **SIZES | {"num_hidden_layers": 4, "decoder_sparse_step": 2, "mlp_only_layers": [3]})
    assert read_family(folder).config.dense_layers == (0, 2, 3)
    assert_equal_to_transformers(folder)


def test_sliding_windows_are_refused(saved: SAVED) -> None:
    with pytest.raises(CheckpointError, match="use_sliding_window True"):
        read_family(saved("qwen2_moe", **SIZES | {"use_sliding_window": True}))
