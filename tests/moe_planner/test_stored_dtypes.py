from __future__ import annotations

import pytest

from moe_planner.errors import PlanError
from moe_planner.families import read_shape
from moe_planner.stored_dtypes import bytes_of_dtype
from tests.moe_planner.configs_of import config


def test_a_dtype_is_known_by_both_its_names() -> None:
    assert bytes_of_dtype("torch.bfloat16", "model.dtype") == bytes_of_dtype("bfloat16", "model.dtype") == 2
    assert bytes_of_dtype("float32", "model.dtype") == 4


def test_the_new_key_of_the_dtype_comes_before_the_old_one() -> None:
    assert read_shape(config("mixtral-8x7b", dtype="float32")).bytes_per_number == 4


def test_the_dtype_of_the_text_model_counts_where_the_whole_has_none() -> None:
    whole = config("llama-4-scout", torch_dtype=None)
    assert read_shape(whole).assumed == ()
    whole["text_config"]["torch_dtype"] = "float32"
    assert read_shape(whole).bytes_per_number == 4


def test_scales_of_blocks_are_part_of_the_bits() -> None:
    packed = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    assert read_shape(config("qwen3-30b-a3b", quantization_config=packed)).expert_bits == 8 + 32 / 128**2
    whole = {"quant_method": "fp8"}
    assert read_shape(config("qwen3-30b-a3b", quantization_config=whole)).projection_bits == 8
    oss = read_shape(config("gpt-oss-120b"))
    assert (oss.expert_bits, oss.projection_bits) == (4 + 8 / 32, 0)


def test_an_unknown_dtype_is_answered_with_those_that_are_known() -> None:
    with pytest.raises(PlanError) as caught:
        read_shape(config("mixtral-8x7b"), dtype="int4")
    assert str(caught.value) == (
        "model.dtype = int4: must be one of float32, bfloat16, float16; give the dtype that the weights are held in"
    )
