from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_worker.model.errors import CheckpointError
from moe_worker.model.families.registry import read_family
from tests.moe_worker.model.families.conftest import assert_equal_to_transformers

SIZES: dict[str, Any] = {"num_experts": 4, "intermediate_size": 32}


@pytest.mark.parametrize("normalises", [True, False])
def test_the_norms_span_all_heads_however_few_the_keys_are(saved: Callable[..., Path], normalises: bool) -> None:
    assert_equal_to_transformers(saved("olmoe", **SIZES | {"norm_topk_prob": normalises}))


def test_clipped_heads_are_refused(saved: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match=r"clip_qkv 8\.0"):
        read_family(saved("olmoe", **SIZES | {"clip_qkv": 8.0}))
