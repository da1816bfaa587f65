"""The one reader of Hugging Face's config.json. Beyond it the model is a ModelConfig, whatever the file's words."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe_worker.model.errors import CheckpointError

SUPPORTED = ("qwen3_moe",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Sizes and constants of a Mixture-of-Experts decoder."""

    family: str
    layers: int
    experts: int
    experts_per_token: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    expert_ffn: int
    vocab: int
    max_positions: int
    norm_epsilon: float
    rope_theta: float
    normalise_router: bool
    tied_embeddings: bool


def read_config(folder: Path) -> ModelConfig:
    """Reads `folder`/config.json; raises CheckpointError when it is missing, broken, or of an unsupported model."""
    raw = _read_json(folder)
    family = raw.get("model_type")
    if family not in SUPPORTED:
        raise CheckpointError(
            f"{folder}/config.json has model_type {family!r}",
            f"this worker runs {', '.join(SUPPORTED)}",
            "point spec.model.source.path at a checkpoint of a supported family",
        )
    _refuse_variants(folder, raw)
    heads, hidden = _number(folder, raw, "num_attention_heads"), _number(folder, raw, "hidden_size")
    return ModelConfig(
        family=family,
        layers=_number(folder, raw, "num_hidden_layers"),
        experts=_number(folder, raw, "num_experts" if "num_experts" in raw else "num_local_experts"),
        experts_per_token=_number(folder, raw, "num_experts_per_tok"),
        hidden=hidden,
        heads=heads,
        kv_heads=int(raw.get("num_key_value_heads") or heads),
        head_dim=int(raw.get("head_dim") or hidden // heads),
        expert_ffn=_number(folder, raw, "moe_intermediate_size"),
        vocab=_number(folder, raw, "vocab_size"),
        max_positions=_number(folder, raw, "max_position_embeddings"),
        norm_epsilon=float(raw.get("rms_norm_eps", 1e-6)),
        rope_theta=_rope_theta(folder, raw),
        normalise_router=bool(raw.get("norm_topk_prob", False)),
        tied_embeddings=bool(raw.get("tie_word_embeddings", False)),
    )


def check_declared(config: ModelConfig, declared: Mapping[str, int]) -> None:
    """Compares the checkpoint with `spec.model.shape`, by its field names; raises CheckpointError on a difference."""
    found = {
        "layers": config.layers,
        "experts": config.experts,
        "expertsPerToken": config.experts_per_token,
        "hiddenSize": config.hidden,
        "heads": config.heads,
        "keyValueHeads": config.kv_heads,
        "headSize": config.head_dim,
        "expertFfnSize": config.expert_ffn,
        "vocabularySize": config.vocab,
    }
    for field, value in declared.items():
        if field in found and found[field] != value:
            raise CheckpointError(
                f"spec.model.shape.{field} is {value} and the checkpoint's is {found[field]}",
                "the declared shape must be the checkpoint's",
                f"set spec.model.shape.{field} to {found[field]}, or name another checkpoint",
            )


def _read_json(folder: Path) -> Mapping[str, Any]:
    path = folder / "config.json"
    if not folder.is_dir():
        raise CheckpointError(
            f"no folder {folder}", "spec.model.source names the checkpoint's folder", "put the checkpoint there"
        )
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(
            f"no file {path}", "a checkpoint has a config.json", "copy the whole Hugging Face folder"
        ) from error
    except ValueError as error:
        found = f"{path} is no JSON ({error})"
        raise CheckpointError(found, "config.json is a JSON object", "copy it again") from error
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} holds no object", "config.json is a JSON object", "copy it again")
    return raw


def _number(folder: Path, raw: Mapping[str, Any], key: str) -> int:
    value = raw.get(key)
    if not isinstance(value, int) or value < 1:
        raise CheckpointError(
            f"{folder}/config.json has {key} {value!r}", f"{key} is a positive whole number", "copy config.json again"
        )
    return value


def _refuse_variants(folder: Path, raw: Mapping[str, Any]) -> None:
    """Options of the family that would change the numbers and are not computed here."""
    variants = {
        "attention_bias": bool(raw.get("attention_bias")),
        "use_sliding_window": bool(raw.get("use_sliding_window")),
        "mlp_only_layers": bool(raw.get("mlp_only_layers")),
        "decoder_sparse_step": raw.get("decoder_sparse_step", 1) != 1,
        "hidden_act": raw.get("hidden_act", "silu") != "silu",
    }
    for key, used in variants.items():
        if used:
            raise CheckpointError(
                f"{folder}/config.json has {key} {raw[key]!r}",
                f"this worker computes {raw['model_type']} without {key} of that value",
                "use a checkpoint without it",
            )


def _rope_theta(folder: Path, raw: Mapping[str, Any]) -> float:
    """The base of the rotary embedding, under the keys of transformers 5 (`rope_parameters`) or of 4 (`rope_theta`)."""
    parameters = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind != "default":
        raise CheckpointError(
            f"{folder}/config.json has rope type {kind!r}",
            "this worker computes rope type 'default'",
            "remove the scaling from config.json (and serve shorter prompts), or use another checkpoint",
        )
    return float(parameters.get("rope_theta", raw.get("rope_theta", 10000.0)))
