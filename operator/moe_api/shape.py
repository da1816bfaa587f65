"""The sizes of a model as the resources describe them, and the way between them and the planner's ModelShape."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from moe_api import rules
from moe_api.base import SpecModel
from moe_planner.model import LatentAttention, ModelShape

_Layers = Annotated[list[Annotated[int, Field(ge=0, le=1023)]], Field(max_length=1024)]
_Bits = Annotated[float, Field(gt=0, le=32)]


class LatentAttentionSpec(SpecModel):
    """Multi-head latent attention (DeepSeek): one compressed row is cached of a token, not keys and values."""

    key_value_rank: int = Field(ge=1, le=1048576)
    """Width of the compressed row (kv_lora_rank)."""
    query_rank: int = Field(default=0, ge=0, le=1048576)
    """Width of the compressed queries (q_lora_rank); 0 where queries are projected directly."""
    rope_size: int = Field(ge=1, le=65536)
    """Numbers of a key with rotary positions (qk_rope_head_dim)."""
    nope_size: int = Field(ge=1, le=65536)
    """Numbers of a key without positions (qk_nope_head_dim)."""
    value_size: int = Field(ge=1, le=65536)
    """Numbers of a value (v_head_dim)."""


class ShapeSpec(SpecModel):
    """Sizes of the model, as in the checkpoint's config.json; `kubectl-moe init` writes them."""

    model_config = ConfigDict(json_schema_extra=rules.SHAPE)

    layers: int = Field(ge=1, le=1024)
    """Transformer layers (num_hidden_layers)."""
    experts: int = Field(ge=1, le=4096)
    """Experts in each layer that has any (num_experts)."""
    experts_per_token: int = Field(ge=1, le=4096)
    """Experts that the router chooses for a token, at most `experts` (num_experts_per_tok)."""
    hidden_size: int = Field(ge=1, le=1048576)
    """Width of a token between layers (hidden_size)."""
    heads: int = Field(ge=1, le=4096)
    """Query heads of the attention (num_attention_heads)."""
    key_value_heads: int = Field(ge=1, le=4096)
    """Key and value heads; divides `heads` (num_key_value_heads)."""
    head_size: int = Field(ge=1, le=65536)
    """Numbers in one head (head_dim)."""
    expert_ffn_size: int = Field(ge=1, le=1048576)
    """Inner width of one expert (moe_intermediate_size)."""
    vocabulary_size: int = Field(ge=1, le=16777216)
    """Tokens of the vocabulary (vocab_size)."""
    family: str | None = Field(default=None, max_length=63, min_length=1)
    """Family of the model (model_type); qwen3_moe when left out."""
    gated: bool | None = None
    """Whether a feed-forward network has three matrices, one of them a gate, rather than two; true when left out."""
    tied_embeddings: bool | None = None
    """Whether one matrix embeds tokens and projects on them (tie_word_embeddings); false when left out."""
    dense_layers: _Layers | None = None
    """Layers without experts, by number; none when left out."""
    dense_ffn_size: int | None = Field(default=None, ge=1, le=1048576)
    """Inner width of the feed-forward network of a dense layer (intermediate_size)."""
    shared_ffn_size: int | None = Field(default=None, ge=1, le=1048576)
    """Summed inner width of a layer's shared experts, which every token visits."""
    shared_gate: bool | None = None
    """Whether a gate weighs the shared experts."""
    latent_attention: LatentAttentionSpec | None = None
    """Multi-head latent attention, where the model has it."""
    head_norms: bool | None = None
    """Whether each head's queries and keys are normalised; true when left out."""
    projection_norms: bool | None = None
    """Whether all heads' queries, and all keys, are normalised at once."""
    attention_bias: bool | None = None
    """Whether queries, keys and values have biases."""
    output_bias: bool | None = None
    """Whether the attention's output has a bias."""
    router_bias: bool | None = None
    """Whether the router has a bias for each expert."""
    expert_bias: bool | None = None
    """Whether an expert's matrices have biases."""
    attention_sinks: bool | None = None
    """Whether each head has a learned sink."""
    attention_window: int | None = Field(default=None, ge=1, le=16777216)
    """Tokens that the layers of `windowLayers` look back on."""
    window_layers: _Layers | None = None
    """Layers with a sliding window, by number; none when left out."""
    expert_bits: _Bits | None = None
    """Bits of a number of an expert's matrices, block scales included, e.g. 4.25; those of spec.model.dtype if not."""
    projection_bits: _Bits | None = None
    """Bits of a number of the other matrices but embeddings; those of spec.model.dtype when left out."""
    key_value_bits: _Bits | None = None
    """Bits of a number in the KV cache; those of spec.model.dtype when left out."""


# ShapeSpec's words -> ModelShape's. What is not here (dtype, longest sequence, assumptions) is declared elsewhere.
_NAMES: Mapping[str, str] = {
    "layers": "layers",
    "experts": "experts",
    "experts_per_token": "experts_per_token",
    "hidden_size": "hidden",
    "heads": "heads",
    "key_value_heads": "kv_heads",
    "head_size": "head_dim",
    "expert_ffn_size": "expert_ffn",
    "vocabulary_size": "vocab",
    "family": "family",
    "gated": "gated",
    "tied_embeddings": "tied_embeddings",
    "dense_layers": "dense_layers",
    "dense_ffn_size": "dense_ffn",
    "shared_ffn_size": "shared_ffn",
    "shared_gate": "has_shared_gate",
    "latent_attention": "latent",
    "head_norms": "has_head_norms",
    "projection_norms": "has_projection_norms",
    "attention_bias": "has_attention_bias",
    "output_bias": "has_output_bias",
    "router_bias": "has_router_bias",
    "expert_bias": "has_expert_bias",
    "attention_sinks": "has_sinks",
    "attention_window": "attention_window",
    "window_layers": "window_layers",
    "expert_bits": "expert_bits",
    "projection_bits": "projection_bits",
    "key_value_bits": "kv_bits",
}
_LATENT_NAMES: Mapping[str, str] = {
    "key_value_rank": "kv_rank",
    "query_rank": "query_rank",
    "rope_size": "rope_dim",
    "nope_size": "nope_dim",
    "value_size": "value_dim",
}


def read_shape_spec(spec: ShapeSpec, *, bytes_per_number: int, max_positions: int) -> ModelShape:
    """The planner's shape; what the spec leaves out is as in ModelShape."""
    given = {name: _planners(getattr(spec, word)) for word, name in _NAMES.items() if getattr(spec, word) is not None}
    return ModelShape(**given, bytes_per_number=bytes_per_number, max_positions=max_positions)


def shape_spec(shape: ModelShape) -> ShapeSpec:
    """The spec that reads as this shape; what is as in ModelShape anyway is left out."""
    usual = {field.name: field.default for field in fields(ModelShape)}
    written = {word: getattr(shape, name) for word, name in _NAMES.items() if getattr(shape, name) != usual[name]}
    return ShapeSpec(**{word: _specs(value) for word, value in written.items()})


def _planners(value: Any) -> Any:
    if isinstance(value, LatentAttentionSpec):
        return LatentAttention(**{name: getattr(value, word) for word, name in _LATENT_NAMES.items()})
    return tuple(sorted(set(value))) if isinstance(value, list) else value


def _specs(value: Any) -> Any:
    if isinstance(value, LatentAttention):
        return LatentAttentionSpec(**{word: getattr(value, name) for word, name in _LATENT_NAMES.items()})
    return list(value) if isinstance(value, tuple) else value
