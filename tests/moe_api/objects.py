"""The example objects, read as users read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from moe_api.convert import stage_spec
from moe_api.deployment import MoEDeployment
from moe_api.planning import plan_deployment
from moe_api.stage import MoEStageSpec

EXAMPLES = Path(__file__).parents[2] / "examples"


def raw(name: str = "small") -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    return values


def deployment(name: str = "small", **spec: Any) -> MoEDeployment:
    """An example with top-level fields of its spec replaced."""
    values = raw(name)
    values["spec"] |= spec
    return MoEDeployment.load(values)


def stage(name: str = "small", number: int = 0) -> MoEStageSpec:
    one = deployment(name)
    return stage_spec(one, plan_deployment(one), replica=0, stage=number)
