"""Configurations of small random checkpoints, family by family, in transformers' words.

The options are those of make_checkpoint; what a family has beyond them follows from them.
"""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from transformers import AutoConfig, PretrainedConfig

# As the large checkpoints are stretched, to the positions that were asked for.
STRETCH = 8.0


def make_config(options: argparse.Namespace, special: dict[str, int]) -> PretrainedConfig:
    """The options under the names of the family's config.json; `special` are its special tokens."""
    common = {
        "vocab_size": options.vocab,
        "hidden_size": options.hidden,
        "num_hidden_layers": options.layers,
        "num_attention_heads": options.heads,
        "num_key_value_heads": options.kv_heads,
        "num_experts_per_tok": options.experts_per_token,
        "max_position_embeddings": options.max_positions,
        "initializer_range": options.initializer_range,
        "tie_word_embeddings": False,
        "dtype": options.dtype,
    }
    return AutoConfig.for_model(options.family, **(common | special | FAMILIES[options.family](options)))


def _qwen3_moe(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "head_dim": options.head_dim,
        "num_experts": options.experts,
        "intermediate_size": options.ffn,
        "moe_intermediate_size": options.ffn,
        "norm_topk_prob": True,
    }


def _mixtral(options: argparse.Namespace) -> dict[str, Any]:
    return {"head_dim": options.head_dim, "num_local_experts": options.experts, "intermediate_size": options.ffn}


def _olmoe(options: argparse.Namespace) -> dict[str, Any]:
    return {"num_experts": options.experts, "intermediate_size": options.ffn}


def _qwen2_moe(options: argparse.Namespace) -> dict[str, Any]:
    """A shared expert of twice the width, and the second layer without experts where there are more than two."""
    return {
        "num_experts": options.experts,
        "intermediate_size": 3 * options.ffn,
        "moe_intermediate_size": options.ffn,
        "shared_expert_intermediate_size": 2 * options.ffn,
        "mlp_only_layers": [1] if options.layers > 2 else [],
    }


def _gpt_oss(options: argparse.Namespace) -> dict[str, Any]:
    """Every other layer looks back as far as two heads are wide."""
    return {
        "head_dim": options.head_dim,
        "num_local_experts": options.experts,
        "intermediate_size": options.ffn,
        "sliding_window": 2 * options.head_dim,
        "swiglu_limit": 1.0,
        "rope_parameters": _yarn(options, 150000.0, {"truncate": False}),
    }


def _deepseek_v2(options: argparse.Namespace) -> dict[str, Any]:
    """The first layer without experts; two shared experts; heads of head_dim plain and half as many turned numbers."""
    return {
        "num_key_value_heads": options.heads,
        "n_routed_experts": options.experts,
        "n_shared_experts": 2,
        "first_k_dense_replace": 1,
        "routed_scaling_factor": 1.5,
        "intermediate_size": 3 * options.ffn,
        "moe_intermediate_size": options.ffn,
        "q_lora_rank": None,
        "kv_lora_rank": 2 * options.head_dim,
        "qk_nope_head_dim": options.head_dim,
        "qk_rope_head_dim": options.head_dim // 2,
        "v_head_dim": options.head_dim,
        "rope_parameters": _yarn(options, 10000.0, {"mscale": 0.7, "mscale_all_dim": 0.9}),
    }


def _yarn(options: argparse.Namespace, theta: float, own: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "rope_type": "yarn",
        "rope_theta": theta,
        "factor": STRETCH,
        "original_max_position_embeddings": int(options.max_positions / STRETCH),
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        **own,
    }


FAMILIES: Mapping[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "qwen3_moe": _qwen3_moe,
    "mixtral": _mixtral,
    "olmoe": _olmoe,
    "qwen2_moe": _qwen2_moe,
    "gpt_oss": _gpt_oss,
    "deepseek_v2": _deepseek_v2,
}
