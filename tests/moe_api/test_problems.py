from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from moe_api.deployment import MoEDeployment
from moe_api.problems import of_plan, of_validation
from moe_planner.errors import PlanError
from tests.moe_api.objects import raw


def problems(section: str, field: str, value: Any) -> list[str]:
    values = raw()
    values["spec"].setdefault(section, {})[field] = value
    with pytest.raises(ValidationError) as caught:
        MoEDeployment.load(values)
    return [str(problem) for problem in of_validation(caught.value, MoEDeployment)]


@pytest.mark.parametrize(
    ("section", "field", "value", "message"),
    [
        ("hardware", "nodes", 0, "spec.hardware.nodes = 0: input should be greater than or equal to 1; use 1 or more"),
        (
            "hardware",
            "nodes",
            "2",
            "spec.hardware.nodes = '2': input should be a valid integer; write a whole number without quotes",
        ),
        (
            "hardware",
            "gpuMemory",
            "64GB",
            "spec.hardware.gpuMemory = '64GB': is no quantity of bytes; write a number and a unit, e.g. 64Gi or 80G",
        ),
        ("hardware", "nodez", 1, "spec.hardware.nodez: is no known field; did you mean nodes?"),
        (
            "parallelism",
            "expert",
            "lots",
            "spec.parallelism.expert = 'lots': is no degree of parallelism; use auto or a number from 1 to 65536",
        ),
        (
            "model",
            "dtype",
            "f8",
            "spec.model.dtype = 'f8': input should be 'float32', 'bfloat16' or 'float16'; "
            "use 'float32', 'bfloat16' or 'float16'",
        ),
    ],
)
def test_a_mistake_is_said_with_field_value_rule_and_remedy(section: str, field: str, value: Any, message: str) -> None:
    assert problems(section, field, value) == [message]


def test_a_path_out_of_the_volume_is_refused() -> None:
    (problem,) = problems("model", "source", {"volume": {"hostPath": {"path": "/x"}}, "path": "../etc"})
    assert problem.startswith("spec.model.source.path = '../etc': is no relative folder inside the volume")


def test_a_missing_part_is_named() -> None:
    values = raw()
    del values["spec"]["model"]["shape"]
    with pytest.raises(ValidationError) as caught:
        MoEDeployment.load(values)
    assert [str(p) for p in of_validation(caught.value, MoEDeployment)] == ["spec.model.shape: is missing; add it"]


def test_a_refusal_of_the_planner_names_the_field_of_the_spec() -> None:
    error = PlanError("parallelism.tensor", 2, "v1alpha1 workers run TP = SP = 1", "use 1 or auto")
    assert str(of_plan(error)) == "spec.parallelism.tensor = 2: v1alpha1 workers run TP = SP = 1; use 1 or auto"
