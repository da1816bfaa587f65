from __future__ import annotations

import pytest

from moe_planner.errors import PlanError
from moe_planner.gpu_types import only_gpu_type


def test_one_type_is_that_of_all_nodes_that_say() -> None:
    assert only_gpu_type({"a": "H100", "b": "H100", "c": ""}) == "H100"
    assert only_gpu_type({"a": "", "b": ""}) == ""
    assert only_gpu_type({}) == ""


def test_several_types_are_refused_with_their_numbers() -> None:
    with pytest.raises(PlanError, match=r"1 x A100, 2 x H100: the nodes of one plan have one type of GPU") as caught:
        only_gpu_type({"a": "H100", "b": "A100", "c": "H100"})
    assert caught.value.field == "hardware.nodeSelector"
