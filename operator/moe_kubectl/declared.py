"""A model's config.json as a MoEDeployment declares it: in a number type that the workers hold weights in."""

from collections.abc import Mapping
from typing import Any

from moe_api.model import BYTES_PER_NUMBER
from moe_api.shape import shape_spec
from moe_planner.families import read_shape
from moe_planner.model import ModelShape

_USUAL = "bfloat16"


def held_dtype(config: Mapping[str, Any]) -> str:
    """The checkpoint's own where workers hold it; packed and narrower numbers are counted as bfloat16, as which workers
    hold mxfp4; other packings they refuse when they read the checkpoint.
    """
    layers = config.get("text_config")
    named = [
        part.get(key) for part in (config, layers) if isinstance(part, Mapping) for key in ("dtype", "torch_dtype")
    ]
    return next((dtype for dtype in named if isinstance(dtype, str) and dtype in BYTES_PER_NUMBER), _USUAL)


def held_shape(config: Mapping[str, Any]) -> ModelShape:
    """Raises PlanError for a config of no known family."""
    return read_shape(config, dtype=held_dtype(config))


def declared_model(config: Mapping[str, Any]) -> dict[str, Any]:
    """`dtype` and `shape` of spec.model. Raises PlanError for a config of no known family."""
    return {"dtype": held_dtype(config), "shape": shape_spec(held_shape(config)).dump()}
