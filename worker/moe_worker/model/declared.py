"""What spec.model.shape declares against what the checkpoint is, in the resource's words.

The operator counts memory and places experts by what is declared, so what it leaves out must be what it then assumes.
"""

from collections.abc import Mapping
from typing import Any

from moe_worker.model.config import ModelConfig
from moe_worker.model.errors import CheckpointError

ASSUMED: Mapping[str, object] = {"family": "qwen3_moe", "gated": True, "headNorms": True}
"""What a field that is left out means; others then mean nothing: no, none or zero."""


def check_declared(config: ModelConfig, traits: Mapping[str, object], declared: Mapping[str, Any]) -> None:
    """Raises CheckpointError on a difference; `traits` are what the checkpoint has beside its sizes."""
    found = {**_sizes(config), **traits}
    for field in sorted({*found, *declared, *ASSUMED}):
        # Read as the operator does: no field, false, 0 and no layers are one.
        given, is_ = (_plain(values.get(field, ASSUMED.get(field))) for values in (declared, found))
        if given != is_:
            raise CheckpointError(
                f"spec.model.shape.{field} is {_shown(declared.get(field))} and the checkpoint's is {_shown(is_)}",
                "the declared shape must be the checkpoint's",
                f"{_remedy(field, is_)}, or name another checkpoint",
            )


def _sizes(config: ModelConfig) -> dict[str, object]:
    return {
        "family": config.family,
        "layers": config.layers,
        "experts": config.experts,
        "expertsPerToken": config.experts_per_token,
        "hiddenSize": config.hidden,
        "heads": config.heads,
        "keyValueHeads": config.kv_heads,
        "headSize": config.head_dim,
        "expertFfnSize": config.expert_ffn,
        "vocabularySize": config.vocab,
        "tiedEmbeddings": config.tied_embeddings,
        "denseLayers": config.dense_layers,
        "denseFfnSize": config.dense_ffn,
    }


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        value = {key: part for key, part in value.items() if part}
    if isinstance(value, tuple | list):
        value = sorted(set(value))
    return value or None


def _shown(value: object) -> str:
    return "left out" if value is None else str(value)


def _remedy(field: str, value: object) -> str:
    return f"leave spec.model.shape.{field} out" if value is None else f"set spec.model.shape.{field} to {value}"
