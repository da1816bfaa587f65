"""The model as the resources describe it: its shape, number type, and where its checkpoint lies."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from moe_api import rules
from moe_api.base import SpecModel
from moe_api.shape import ShapeSpec

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
