from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_worker.model.families.registry import read_family
from tests.moe_worker.model.families.conftest import assert_equal_to_transformers

SIZES: dict[str, Any] = {"num_experts": 4, "intermediate_size": 80, "moe_intermediate_size": 32, "head_dim": 16}


@pytest.mark.parametrize("normalises", [True, False])
def test_the_router_s_weights_may_add_up_to_one_or_not(saved: Callable[..., Path], normalises: bool) -> None:
    assert_equal_to_transformers(saved("qwen3_moe", **SIZES | {"norm_topk_prob": normalises}))


def test_layers_may_have_no_experts(saved: Callable[..., Path]) -> None:
    folder = saved("qwen3_moe", **SIZES | {"mlp_only_layers": [0]})
    assert read_family(folder).config.expert_ids(range(2)) == [4, 5, 6, 7]
    assert_equal_to_transformers(folder)
