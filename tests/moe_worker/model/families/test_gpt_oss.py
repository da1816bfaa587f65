from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_worker.model.errors import CheckpointError
from moe_worker.model.families.gpt_oss import GptOss
from moe_worker.model.families.registry import read_family
from tests.moe_worker.model.families.conftest import assert_equal_to_transformers
from tests.moe_worker.model.packed import PACKED

SIZES: dict[str, Any] = {"num_local_experts": 4, "intermediate_size": 32, "head_dim": 16, "sliding_window": 20}
SIZES |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
SAVED = Callable[..., Path]


@pytest.mark.parametrize("window", [1, 20, 33, 400])
def test_a_window_hides_what_is_further_back(saved: SAVED, window: int) -> None:
    assert_equal_to_transformers(saved("gpt_oss", **SIZES | {"sliding_window": window}))


def test_each_layer_says_whether_it_has_a_window(saved: SAVED) -> None:
    kinds = ["full_attention", "sliding_attention"]
    folder = saved("gpt_oss", **SIZES | {"layer_types": kinds})
    family = read_family(folder)
    assert isinstance(family, GptOss)
    assert family.windows == (0, 20)
    assert_equal_to_transformers(folder)


def test_the_clamp_is_the_checkpoint_s(saved: SAVED) -> None:
    assert_equal_to_transformers(saved("gpt_oss", **SIZES | {"swiglu_limit": 0.3, "swiglu_alpha": 1.2}))


@pytest.mark.parametrize(
    "variant",
    [
        {"attention_bias": False},
        {"layer_types": ["chunked_attention", "full_attention"]},
        {"quantization_config": {"quant_method": "fp8"}},
        {"quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.1.mlp.experts"]}},
        {"hidden_size": 72, "quantization_config": PACKED},
        {"intermediate_size": 40, "quantization_config": PACKED},
    ],
)
def test_variants_that_would_change_the_numbers_are_refused(
    saved: SAVED, changed: Callable[..., None], variant: dict[str, Any]
) -> None:
    folder = saved("gpt_oss", **SIZES)
    changed(folder, **variant)
    with pytest.raises(CheckpointError, match=f"config.json has {next(iter(variant))} "):
        read_family(folder)
