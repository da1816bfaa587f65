"""The `model` part of a planning file -> ModelShape. Without that part it is the reference document's model."""

from collections.abc import Mapping
from dataclasses import replace

from moe_planner.families import read_shape
from moe_planner.fields import Fields
from moe_planner.limits import MOST_EXPERTS, MOST_LAYERS
from moe_planner.model import ModelShape
from moe_planner.stored_dtypes import bytes_of_dtype
from moe_planner.totals import shape_from_totals

DOCUMENT_MODEL: Mapping[str, object] = {
    "parameters": 10_000_000_000,
    "layers": 16,
    "experts": 16,
    "hidden_size": 512,
    "heads": 16,
    "head_size": 32,
    "dtype": "float16",
}

_SIZES = ("layers", "experts", "experts_per_token", "hidden_size", "heads", "key_value_heads", "head_size")
_KEYS = ("config", "dtype", "parameters", *_SIZES, "expert_ffn_size", "vocabulary_size", "gated")


def read_model(part: Fields) -> ModelShape:
    """From a `config` (the contents of a config.json), from sizes, or from totals where no expert's size is given."""
    part.refuse_others(*_KEYS)
    dtype = part.text("dtype")
    if part.has("config"):
        config = part.value("config")
        if not isinstance(config, Mapping):
            raise part.error("config", "must be the mapping that a config.json holds")
        return read_shape(config, dtype=dtype or None)
    shape = _from_sizes(part) if part.has("expert_ffn_size") else _from_totals(part)
    if dtype:
        return replace(shape, bytes_per_number=bytes_of_dtype(dtype, part.at("dtype")))
    return replace(shape, assumed=(*shape.assumed, ("bytes_per_number", "no dtype given, so 2 as for bfloat16")))


def _from_sizes(part: Fields) -> ModelShape:
    heads = part.number("heads")
    return ModelShape(
        layers=part.number("layers", most=MOST_LAYERS),
        experts=part.number("experts", most=MOST_EXPERTS),
        experts_per_token=part.number("experts_per_token", most=MOST_EXPERTS),
        hidden=part.number("hidden_size"),
        heads=heads,
        kv_heads=part.number("key_value_heads", default=heads),
        head_dim=part.number("head_size"),
        expert_ffn=part.number("expert_ffn_size"),
        vocab=part.number("vocabulary_size", default=0, least=0),
        gated=part.flag("gated", default=True),
        family="declared",
        has_head_norms=False,
    )


def _from_totals(part: Fields) -> ModelShape:
    heads = part.number("heads")
    chosen = part.number("experts_per_token", most=MOST_EXPERTS) if part.has("experts_per_token") else None
    return shape_from_totals(
        parameters=part.number("parameters", most=10**18),
        layers=part.number("layers", most=MOST_LAYERS),
        experts=part.number("experts", most=MOST_EXPERTS),
        hidden=part.number("hidden_size"),
        heads=heads,
        head_dim=part.number("head_size"),
        kv_heads=part.number("key_value_heads", default=heads),
        vocab=part.number("vocabulary_size", default=0, least=0),
        experts_per_token=chosen,
        gated=part.flag("gated"),
    )
