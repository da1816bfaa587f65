from __future__ import annotations

from dataclasses import fields, replace

import pytest

from moe_api.shape import LatentAttentionSpec, ShapeSpec, read_shape_spec, shape_spec
from moe_planner.model import LatentAttention, ModelShape

PLAIN = ModelShape(
    layers=4,
    experts=8,
    experts_per_token=2,
    hidden=64,
    heads=4,
    kv_heads=2,
    head_dim=16,
    expert_ffn=32,
    vocab=512,
)
DEEPSEEK = replace(
    PLAIN,
    family="deepseek_v3",
    dense_layers=(0, 2),
    dense_ffn=96,
    shared_ffn=32,
    latent=LatentAttention(kv_rank=32, query_rank=0, rope_dim=8, nope_dim=16, value_dim=16),
    has_head_norms=False,
    has_router_bias=True,
)
GPT_OSS = replace(
    PLAIN,
    family="gpt_oss",
    tied_embeddings=True,
    gated=False,
    has_head_norms=False,
    has_projection_norms=True,
    has_attention_bias=True,
    has_output_bias=True,
    has_expert_bias=True,
    has_shared_gate=True,
    has_sinks=True,
    attention_window=16,
    window_layers=(1, 3),
    expert_bits=4.25,
    projection_bits=8,
    kv_bits=8,
)


def through_json(shape: ModelShape) -> ModelShape:
    spec = ShapeSpec.load(shape_spec(shape).dump())
    return read_shape_spec(spec, bytes_per_number=shape.bytes_per_number, max_positions=shape.max_positions)


@pytest.mark.parametrize("shape", [PLAIN, DEEPSEEK, GPT_OSS])
def test_a_shape_goes_through_the_resource_without_loss(shape: ModelShape) -> None:
    assert through_json(shape) == shape


def test_every_field_of_a_shape_can_be_declared() -> None:
    elsewhere = {"bytes_per_number", "max_positions", "assumed"}
    usual = {f.name: f.default for f in fields(ModelShape)}
    declared = {name for shape in (PLAIN, DEEPSEEK, GPT_OSS) for name in usual if getattr(shape, name) != usual[name]}
    assert set(usual) - declared == elsewhere


def test_what_is_usual_is_not_written() -> None:
    assert set(shape_spec(PLAIN).dump()) == {
        "layers",
        "experts",
        "expertsPerToken",
        "hiddenSize",
        "heads",
        "keyValueHeads",
        "headSize",
        "expertFfnSize",
        "vocabularySize",
    }


def test_latent_attention_is_written_in_words() -> None:
    latent = shape_spec(DEEPSEEK).latent_attention
    assert latent == LatentAttentionSpec(key_value_rank=32, rope_size=8, nope_size=16, value_size=16)


def test_layers_are_read_in_order_and_once() -> None:
    spec = shape_spec(DEEPSEEK).model_copy(update={"dense_layers": [2, 0, 2]})
    assert read_shape_spec(spec, bytes_per_number=2, max_positions=2048).dense_layers == (0, 2)
