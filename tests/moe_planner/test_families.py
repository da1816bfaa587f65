from __future__ import annotations

import pytest

from moe_planner.errors import PlanError
from moe_planner.families import FAMILIES, read_shape
from moe_planner.model import LatentAttention
from tests.moe_planner.configs_of import config

PUBLISHED = {
    "qwen3-30b-a3b": (30_532_122_624, 3_353_032_704),
    "qwen1.5-moe-a2.7b": (14_315_784_192, 2_689_173_504),
    "mixtral-8x7b": (46_702_792_704, 12_879_925_248),
    "olmoe-1b-7b": (6_919_161_856, 1_282_017_280),
    "deepseek-v2-lite": (15_706_484_224, 2_661_150_208),
    "deepseek-v3": (671_026_419_200, 37_552_297_472),
    "gpt-oss-20b": (20_914_757_184, 4_187_440_704),
    "gpt-oss-120b": (116_829_156_672, 5_711_982_912),
    "llama-4-scout": (107_769_861_120, 17_172_894_720),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones_of_the_model_in_all_and_for_a_token(name: str) -> None:
    shape = read_shape(config(name))
    assert (shape.parameters, shape.active_parameters) == PUBLISHED[name]


def test_there_is_a_real_config_of_every_family() -> None:
    families = {config(name)["model_type"] for name in PUBLISHED}
    assert families == set(FAMILIES) - {"llama4_text"}


def test_a_text_config_of_llama_4_reads_as_the_whole_one_does() -> None:
    whole = config("llama-4-scout")
    alone = read_shape(whole["text_config"])
    assert (alone.family, alone.parameters) == ("llama4_text", read_shape(whole).parameters)


def test_what_a_token_leaves_in_the_cache() -> None:
    caches = {name: read_shape(config(name)).kv_bytes_per_token_per_layer for name in PUBLISHED}
    assert caches["qwen3-30b-a3b"] == 2 * 4 * 128 * 2
    assert caches["mixtral-8x7b"] == 2 * 8 * 128 * 2
    assert caches["deepseek-v3"] == caches["deepseek-v2-lite"] == (512 + 64) * 2
    assert caches["gpt-oss-20b"] == 2 * 8 * 64 * 2


def test_weights_are_held_as_the_checkpoint_packs_them() -> None:
    oss = read_shape(config("gpt-oss-20b"))
    packed = 3 * 2880 * 2880 * 4 // 8 + 3 * 2880 * 2880 // 32
    assert oss.expert_bytes == packed + 2 * (2 * 2880 + 2880)
    v3 = read_shape(config("deepseek-v3"))
    assert v3.expert_bytes == 3 * 7168 * 2048 + 4 * 3 * (7168 // 128) * (2048 // 128)
    assert v3.router_bytes == 2 * (7168 + 1) * 256
    assert v3.embedding_bytes == 2 * 129280 * 7168


def test_a_dtype_that_is_given_unpacks_everything() -> None:
    shape = read_shape(config("gpt-oss-20b"), dtype="bfloat16")
    assert shape.expert_bytes == 2 * (3 * 2880 * 2880 + 3 * 2880)
    assert read_shape(config("mixtral-8x7b"), dtype="float32").expert_bytes == 4 * 3 * 4096 * 14336


def test_a_config_without_a_dtype_says_what_was_assumed() -> None:
    assert read_shape(config("gpt-oss-20b")).assumed == (
        ("bytes_per_number", "config.json names no dtype; bfloat16 is usual"),
    )
    assert read_shape(config("mixtral-8x7b")).assumed == ()


def test_layers_with_windows() -> None:
    oss = read_shape(config("gpt-oss-20b"))
    assert (oss.attention_window, oss.window_layers) == (128, tuple(range(0, 24, 2)))
    assert read_shape(config("gpt-oss-20b", layer_types=None)).window_layers == oss.window_layers
    scout = read_shape(config("llama-4-scout"))
    assert (scout.attention_window, len(scout.window_layers)) == (8192, 36)
    assert 3 not in scout.window_layers
    mistral = read_shape(config("mixtral-8x7b", sliding_window=4096))
    assert (mistral.attention_window, mistral.window_layers) == (4096, tuple(range(32)))
    assert read_shape(config("qwen3-30b-a3b")).window_layers == ()


def test_layers_without_experts() -> None:
    assert read_shape(config("deepseek-v3")).dense_layers == (0, 1, 2)
    every_other = read_shape(config("deepseek-v2-lite", moe_layer_freq=2))
    assert every_other.expert_layers == tuple(range(2, 27, 2))
    sparse = read_shape(config("qwen3-30b-a3b", decoder_sparse_step=2, mlp_only_layers=[1, 99]))
    assert sparse.expert_layers == tuple(range(3, 48, 2))
    assert (sparse.dense_ffn, read_shape(config("qwen3-30b-a3b")).dense_ffn) == (6144, 0)
    scout = config("llama-4-scout")
    maverick = read_shape({**scout, "text_config": {**scout["text_config"], "interleave_moe_layer_step": 2}})
    assert maverick.expert_layers == tuple(range(1, 48, 2))


def test_latent_attention_with_and_without_compressed_queries() -> None:
    lite = read_shape(config("deepseek-v2-lite")).latent
    assert lite == LatentAttention(kv_rank=512, query_rank=0, rope_dim=64, nope_dim=128, value_dim=128)
    full = read_shape(config("deepseek-v3")).latent
    assert full is not None
    assert full.query_rank == 1536


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"model_type": "bert"}, "model.config.model_type"),
        ({"model_type": None}, "model.config.model_type"),
        ({"model_type": ["qwen3_moe"]}, "model.config.model_type"),
        ({"hidden_size": 0}, "model.config.hidden_size"),
        ({"hidden_size": "2048"}, "model.config.hidden_size"),
        ({"hidden_size": 2048.0}, "model.config.hidden_size"),
        ({"num_experts": True}, "model.config.num_experts"),
        ({"num_experts": 10**30}, "model.config.num_experts"),
        ({"num_hidden_layers": 10**9}, "model.config.num_hidden_layers"),
        ({"vocab_size": None}, "model.config.vocab_size"),
        ({"head_dim": None, "num_attention_heads": 33}, "model.config.num_attention_heads"),
        ({"mlp_only_layers": "all"}, "model.config.mlp_only_layers"),
        ({"mlp_only_layers": [0.5]}, "model.config.mlp_only_layers"),
        ({"attention_bias": "no"}, "model.config.attention_bias"),
        ({"torch_dtype": "int3"}, "model.config.torch_dtype"),
        ({"quantization_config": "fp8"}, "model.config.quantization_config"),
        ({"quantization_config": {"quant_method": "awq"}}, "model.config.quantization_config.quant_method"),
        (
            {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 0]}},
            "model.config.quantization_config.weight_block_size",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(changes: dict[str, object], field: str) -> None:
    with pytest.raises(PlanError) as caught:
        read_shape(config("qwen3-30b-a3b", **changes))
    assert caught.value.field == field


def test_a_missing_key_is_named_and_null_queries_are_not_missing() -> None:
    values = config("deepseek-v2-lite")
    del values["q_lora_rank"]
    with pytest.raises(PlanError) as caught:
        read_shape(values)
    assert str(caught.value) == (
        "model.config.q_lora_rank = None: must be a whole number of 1 to 1000000000; copy config.json of the "
        "checkpoint again"
    )


TINY: dict[str, dict[str, object]] = {
    "qwen3-30b-a3b": {"head_dim": 16, "moe_intermediate_size": 24, "mlp_only_layers": [1], "attention_bias": True},
    "qwen1.5-moe-a2.7b": {"moe_intermediate_size": 24, "shared_expert_intermediate_size": 56},
    "mixtral-8x7b": {"intermediate_size": 40, "num_local_experts": 6},
    "olmoe-1b-7b": {"num_key_value_heads": 4},
    "deepseek-v2-lite": {"moe_intermediate_size": 24, "num_key_value_heads": 8},
    "deepseek-v3": {"first_k_dense_replace": 1, "q_lora_rank": 12, "num_key_value_heads": 8, "attention_bias": True},
    "gpt-oss-20b": {"head_dim": 12, "num_local_experts": 6, "layer_types": None},
    "llama-4-scout": {"interleave_moe_layer_step": 2, "num_local_experts": 6, "head_dim": 16},
}


@pytest.mark.parametrize("name", TINY)
def test_parameters_are_those_of_the_model_that_transformers_builds(name: str) -> None:
    import torch  # both are slow to import, and only this test needs them
    import transformers

    values = config(name)
    values = {**values.get("text_config", values), **_SMALL, **TINY[name], "quantization_config": None}
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**values))
    # A router's correction bias is a buffer of the module, and a tensor of the checkpoint as any other.
    numbers = sum(tensor.numel() for tensor in model.state_dict().values())
    assert read_shape(values).parameters == numbers


_SMALL = {
    "hidden_size": 64,
    "intermediate_size": 48,
    "intermediate_size_mlp": 80,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 2,
    "kv_lora_rank": 20,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "vocab_size": 128,
}
