"""The model as the resources describe it: its shape, number type, and where its checkpoint lies."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from moe_api import rules
from moe_api.base import SpecModel

Dtype = Literal["float32", "bfloat16", "float16"]
BYTES_PER_NUMBER: dict[Dtype, int] = {"float32": 4, "bfloat16": 2, "float16": 2}

PATH_PATTERN = r"^([A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*)?$"
SERVED_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$"


def _relative(path: str) -> str:
    if not re.fullmatch(PATH_PATTERN, path, re.ASCII):
        raise ValueError(f"{path!r} {rules.NO_FOLDER}")
    return path


RelativeFolder = Annotated[
    str,
    Field(max_length=256, json_schema_extra=rules.text(PATH_PATTERN, rules.NO_FOLDER)),
    AfterValidator(_relative),
]


class ShapeSpec(SpecModel):
    """Sizes of the model, as in the checkpoint's config.json."""

    model_config = ConfigDict(json_schema_extra=rules.SHAPE)

    layers: int = Field(ge=1, le=1024)
    """Transformer layers, each with attention and a Mixture of Experts (num_hidden_layers)."""
    experts: int = Field(ge=1, le=4096)
    """Experts in each layer (num_experts)."""
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


class SourceSpec(SpecModel):
    """The volume with the checkpoint and the folder in it."""

    volume: dict[str, Any] = Field(
        min_length=1, max_length=1, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}
    )
    """Any volume source of a pod, e.g. persistentVolumeClaim, hostPath, csi or nfs; mounted read-only by the workers
    and the gateway."""
    path: RelativeFolder = ""
    """Folder in the volume, relative to its root, that holds the Hugging Face checkpoint (config.json, safetensors,
    tokenizer); empty for the root itself."""


class ModelSpec(SpecModel):
    """Which model is served."""

    name: str = Field(default="", max_length=253, pattern=rf"{SERVED_NAME_PATTERN}|^$")
    """Name under which the gateway serves the model; the MoEDeployment's own name when empty."""
    source: SourceSpec
    """Where the checkpoint lies."""
    dtype: Dtype = "bfloat16"
    """Number type in which weights are held and computed with."""
    shape: ShapeSpec
    """Sizes of the model; the workers compare them with the checkpoint and report a difference."""
