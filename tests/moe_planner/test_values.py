from __future__ import annotations

import json
from dataclasses import replace

from moe_planner.inputs import Constraints
from moe_planner.values import as_dict
from tests.moe_planner.inputs import make


def test_json_of_a_layout_names_every_rank_once_with_its_gpu_lanes_and_experts() -> None:
    values = json.loads(json.dumps(as_dict(make())))
    ranks = [rank for stage in values["layout"]["stages"] for rank in stage["ranks"]]
    assert [rank["rank"] for rank in ranks] == list(range(256))
    assert len({(rank["node"], rank["gpu"]) for rank in ranks}) == 256
    assert ranks[51] == {
        "rank": 51,
        "pod": 0,
        "node": "node-6",
        "gpu": 3,
        "lanes": [3],
        "experts": [{"layer": 3, "expert": 51}],
    }
    assert values["degrees"] == {"expert": 16, "pipeline": 16, "tensor": 1, "sequence": 1, "data": 1}


def test_pods_that_share_a_node_get_different_gpus_over_all_replicas() -> None:
    values = as_dict(make(layers=1, experts=4, nodes=1, gpus=8, constraints=Constraints(replicas=2)))
    gpus = [rank["gpu"] for layout in values["replicas"] for stage in layout["stages"] for rank in stage["ranks"]]
    assert gpus == list(range(8))


def test_verification_and_alternatives_have_the_agreed_names() -> None:
    values = as_dict(make())
    names = {"name", "formula", "value", "limit", "unit", "verdict", "basis", "bound"}
    assert all(names <= set(line) for line in values["verification"])
    assert {line["verdict"] for line in values["verification"]} <= {"holds", "fails", "unreachable"}
    assert all({"degrees", "figures", "rejected_because"} <= set(line) for line in values["alternatives"])


def test_an_unlimited_value_is_null_since_json_has_no_infinity() -> None:
    plan = make()
    endless = replace(plan.verification[0], limit=float("inf"), margin=float("nan"))
    (line,) = as_dict(replace(plan, verification=(endless,)))["verification"]
    assert (line["limit"], line["margin"]) == (None, None)
    json.dumps(line, allow_nan=False)
