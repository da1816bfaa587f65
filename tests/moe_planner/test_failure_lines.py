"""By hand: the demo's 16 stages x 16 ranks on 32 nodes, and 2 stages x 4 ranks of which each has one node."""

import pytest

from moe_planner.inputs import Constraints
from moe_planner.plan import plan
from moe_planner.result import Check, Plan
from tests.moe_planner.inputs import SHAPE, WORKLOAD, hardware, make


def line(planned: Plan, name: str) -> Check:
    return next(check for check in planned.verification if check.name == name)


def test_one_copy_survives_nothing_and_the_table_says_what_a_loss_costs() -> None:
    gpus, nodes = line(make(), "GPUs that may die"), line(make(), "Nodes that may die")
    assert (gpus.value, gpus.limit, gpus.verdict, nodes.value, nodes.verdict) == (0, 0, "holds", 0, "holds")
    assert gpus.formula == "every expert is on 1 GPUs of its stage at least: 1 - 1 = 0 >= 0"
    assert gpus.note == "16 stages (0 to 15): the loss of a node leaves experts without a host until they are loaded"


@pytest.mark.parametrize(("survive", "wanted"), [("gpu", (1, 0)), ("node", (1, 1))])
def test_what_is_to_be_survived_is_counted_in_the_layout(survive: str, wanted: tuple[int, int]) -> None:
    planned = make(constraints=Constraints(survive=survive))
    for name, limit in zip(("GPUs that may die", "Nodes that may die"), wanted, strict=True):
        assert (line(planned, name).value, line(planned, name).limit) == (1, limit)
        assert line(planned, name).verdict == "holds"
    assert line(planned, "Coverage").value == 2


def test_two_copies_on_one_node_do_not_survive_it() -> None:
    planned = plan(SHAPE, hardware(nodes=2, gpus=4), WORKLOAD, Constraints(expert=4, pipeline=2, copies=2))
    assert (line(planned, "GPUs that may die").value, line(planned, "Nodes that may die").value) == (1, 0)
    assert "the loss of a node leaves experts without a host" in line(planned, "GPUs that may die").note


def test_room_after_a_loss_is_that_of_the_worst_stage() -> None:
    lanes = line(make(), "Lanes after one lost GPU")
    assert (lanes.value, lanes.limit, lanes.verdict) == (16, 15 * WORKLOAD.lanes_per_rank, "holds")
    after_node = line(make(), "Lanes after one lost node")
    assert (after_node.value, after_node.limit) == (16, 8 * WORKLOAD.lanes_per_rank)


def test_a_stage_on_one_node_has_nowhere_to_go_when_that_dies() -> None:
    planned = plan(SHAPE, hardware(nodes=2, gpus=4), WORKLOAD, Constraints(expert=4, pipeline=2))
    for unit, needed in (("Experts", 128), ("Lanes", 4)):
        check = line(planned, f"{unit} after one lost node")
        assert (check.value, check.limit, check.verdict) == (needed, 0, "fails")
    assert "there is no room for 128 experts and 4 lanes" in line(planned, "GPUs that may die").note
