"""Hugging Face's config.json -> ModelShape: which keys a family uses, and what its layers are made of.

Knows the families' words, no hardware. Sizes must be in the file; switches that it leaves out are as `transformers`
has them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from moe_planner.fields import Fields
from moe_planner.limits import MOST_EXPERTS, MOST_LAYERS
from moe_planner.model import LatentAttention, ModelShape
from moe_planner.stored_dtypes import with_dtypes
from moe_planner.totals import shape_from_totals as shape_from_totals


def read_shape(config: Mapping[str, Any], *, dtype: str | None = None) -> ModelShape:
    """The shape that a config.json describes. Raises PlanError with the field `model.config.<key>`.

    `dtype` says what every weight is held in; without it each is held as the checkpoint stores it, packed or not.
    """
    fields = Fields(config, "model.config", "copy config.json of the checkpoint again")
    family = fields.text("model_type")
    reader = _READERS.get(family)
    if reader is None:
        known = f"the planner knows {', '.join(FAMILIES)}"
        raise fields.error("model_type", known, "use a model of these families, or declare its sizes")
    layers = fields.part("text_config") if family == "llama4" else fields
    tied = fields.flag("tie_word_embeddings") or layers.flag("tie_word_embeddings")
    shape = replace(reader(layers), family=family, tied_embeddings=tied)
    return with_dtypes(shape, (fields, layers), dtype)


def _qwen3_moe(fields: Fields) -> ModelShape:
    shape = _base(fields, _experts(fields), fields.number("moe_intermediate_size"))
    bias = fields.flag("attention_bias")
    windows = range(shape.layers) if fields.flag("use_sliding_window") else ()
    return replace(
        _with_dense(shape, fields, _qwen_dense_layers(fields, shape.layers), "intermediate_size"),
        has_head_norms=True,
        has_attention_bias=bias,
        has_output_bias=bias,
        **_window(fields, tuple(windows)),
    )


def _qwen2_moe(fields: Fields) -> ModelShape:
    shape = _base(fields, _experts(fields), fields.number("moe_intermediate_size"))
    most = fields.number("max_window_layers", default=28, least=0)
    sliding = fields.flag("use_sliding_window")
    windows = tuple(layer for layer in range(min(most, shape.layers)) if sliding and layer % 2 == 0)
    return replace(
        _with_dense(shape, fields, _qwen_dense_layers(fields, shape.layers), "intermediate_size"),
        shared_ffn=fields.number("shared_expert_intermediate_size"),
        has_shared_gate=True,
        has_attention_bias=fields.flag("qkv_bias", default=True),
        **_window(fields, windows),
    )


def _mixtral(fields: Fields) -> ModelShape:
    shape = _base(fields, _experts(fields), fields.number("intermediate_size"))
    windows = range(shape.layers) if fields.has("sliding_window") else ()
    return replace(shape, **_window(fields, tuple(windows)))


def _olmoe(fields: Fields) -> ModelShape:
    bias = fields.flag("attention_bias")
    shape = _base(fields, _experts(fields), fields.number("intermediate_size"))
    return replace(shape, has_projection_norms=True, has_attention_bias=bias, has_output_bias=bias)


def _deepseek_v2(fields: Fields) -> ModelShape:
    if fields.flag("mlp_bias"):
        raise fields.error(
            "mlp_bias", "feed-forward networks of this family have no biases here", "use a model without"
        )
    return _deepseek(fields, shared_experts=2)


def _deepseek_v3(fields: Fields) -> ModelShape:
    return replace(_deepseek(fields, shared_experts=1), has_router_bias=True)


def _deepseek(fields: Fields, *, shared_experts: int) -> ModelShape:
    latent = LatentAttention(
        kv_rank=fields.number("kv_lora_rank"),
        query_rank=fields.number_or_null("q_lora_rank"),
        rope_dim=fields.number("qk_rope_head_dim"),
        nope_dim=fields.number("qk_nope_head_dim"),
        value_dim=fields.number("v_head_dim"),
    )
    width = fields.number("moe_intermediate_size")
    shape = _base(fields, _experts(fields), width, head_dim=latent.nope_dim + latent.rope_dim)
    first = fields.number("first_k_dense_replace", default=3 if shared_experts == 1 else 0, least=0)
    every = fields.number("moe_layer_freq", default=1)
    dense = tuple(layer for layer in range(shape.layers) if layer < first or layer % every)
    bias = fields.flag("attention_bias")
    return replace(
        _with_dense(shape, fields, dense, "intermediate_size"),
        kv_heads=shape.heads,
        latent=latent,
        shared_ffn=width * fields.number("n_shared_experts", default=shared_experts, least=0),
        has_attention_bias=bias,
        has_output_bias=bias,
    )


def _gpt_oss(fields: Fields) -> ModelShape:
    shape = _base(fields, _experts(fields), fields.number("intermediate_size"))
    bias = fields.flag("attention_bias", default=True)
    windows = _layers_of_type(fields, "sliding_attention", tuple(range(0, shape.layers, 2)))
    return replace(
        shape,
        has_attention_bias=bias,
        has_output_bias=bias,
        has_router_bias=True,
        has_expert_bias=True,
        has_sinks=True,
        **_window(fields, windows, default=128),
    )


def _llama4(fields: Fields) -> ModelShape:
    width = fields.number("intermediate_size")
    shape = _base(fields, _experts(fields), width)
    every = fields.number("interleave_moe_layer_step", default=1)
    sparse = fields.layers("moe_layers", shape.layers)
    if not fields.has("moe_layers"):
        sparse = tuple(range(every - 1, shape.layers, every))
    dense = tuple(sorted(set(range(shape.layers)) - set(sparse)))
    bias = fields.flag("attention_bias")
    return replace(
        _with_dense(shape, fields, dense, "intermediate_size_mlp"),
        shared_ffn=width,
        has_attention_bias=bias,
        has_output_bias=bias,
        **_window(fields, _chunked_layers(fields, shape.layers), key="attention_chunk_size", default=8192),
    )


def _base(fields: Fields, experts: int, expert_ffn: int, head_dim: int | None = None) -> ModelShape:
    """What all families say in the same words."""
    heads, hidden = fields.number("num_attention_heads"), fields.number("hidden_size")
    if head_dim is None and not fields.has("head_dim") and hidden % heads:
        raise fields.error("num_attention_heads", f"must divide hidden_size = {hidden} where head_dim is not given")
    return ModelShape(
        layers=fields.number("num_hidden_layers", most=MOST_LAYERS),
        experts=experts,
        experts_per_token=fields.number("num_experts_per_tok", most=MOST_EXPERTS),
        hidden=hidden,
        heads=heads,
        kv_heads=fields.number("num_key_value_heads", default=heads),
        head_dim=head_dim or fields.number("head_dim", default=max(1, hidden // heads)),
        expert_ffn=expert_ffn,
        vocab=fields.number("vocab_size"),
        max_positions=fields.number("max_position_embeddings"),
        has_head_norms=False,
    )


def _experts(fields: Fields) -> int:
    return fields.number("num_experts", "num_local_experts", "n_routed_experts", most=MOST_EXPERTS)


def _with_dense(shape: ModelShape, fields: Fields, dense: tuple[int, ...], key: str) -> ModelShape:
    """The shape with layers that have no experts; their width is asked for only where there are such layers."""
    return replace(shape, dense_layers=dense, dense_ffn=fields.number(key)) if dense else shape


def _qwen_dense_layers(fields: Fields, num_layers: int) -> tuple[int, ...]:
    dense = frozenset(fields.layers("mlp_only_layers", num_layers))
    every = fields.number("decoder_sparse_step", default=1)
    return tuple(layer for layer in range(num_layers) if layer in dense or (layer + 1) % every)


def _window(
    fields: Fields, layers: tuple[int, ...], *, key: str = "sliding_window", default: int = 4096
) -> dict[str, Any]:
    """The window's fields of a ModelShape, none of them where no layer has a window."""
    return {"attention_window": fields.number(key, default=default), "window_layers": layers} if layers else {}


def _layers_of_type(fields: Fields, kind: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """The layers that `layer_types` gives that kind; `default` where the file has no such list."""
    kinds = fields.items("layer_types")
    return tuple(layer for layer, each in enumerate(kinds) if each == kind) if kinds else default


def _chunked_layers(fields: Fields, num_layers: int) -> tuple[int, ...]:
    """Llama 4: layers with rotary positions (1 in `no_rope_layers`) look back inside their chunk only."""
    every = fields.number("no_rope_layer_interval", default=4)
    rotary = fields.items("no_rope_layers") or tuple(int((layer + 1) % every != 0) for layer in range(num_layers))
    chunked = tuple(layer for layer, has_rope in enumerate(rotary[:num_layers]) if has_rope == 1)
    return _layers_of_type(fields, "chunked_attention", chunked)


_READERS: Mapping[str, Callable[[Fields], ModelShape]] = {
    "qwen3_moe": _qwen3_moe,
    "qwen2_moe": _qwen2_moe,
    "mixtral": _mixtral,
    "olmoe": _olmoe,
    "deepseek_v2": _deepseek_v2,
    "deepseek_v3": _deepseek_v3,
    "gpt_oss": _gpt_oss,
    "llama4": _llama4,
    "llama4_text": _llama4,
}

FAMILIES = tuple(_READERS)
"""Values of model_type that `read_shape` understands."""
