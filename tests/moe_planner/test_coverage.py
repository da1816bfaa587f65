from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from moe_planner.coverage import Headroom, coverage, coverage_notes, stage_coverage
from moe_planner.inputs import Constraints
from moe_planner.layout import StageLayout
from moe_planner.moves import Room
from moe_planner.rehost import rehost
from tests.moe_planner.stages import Case, cases, experts_lost_per_node, on_nodes, placed, shaped


def test_with_one_copy_every_gpu_and_node_is_critical() -> None:
    found = coverage(placed(shaped(layers=2, experts=4), on_nodes(2, 4), ranks=4, stages=2))
    assert (found.copies, found.gpus_to_lose, found.nodes_to_lose) == (1, 0, 0)
    assert found.critical_ranks == tuple(range(8))
    assert found.critical_nodes == ("node-0", "node-1")


def test_with_two_copies_on_two_nodes_any_gpu_and_any_node_may_die() -> None:
    found = coverage(placed(shaped(experts=8), on_nodes(2, 4), ranks=8, constraints=Constraints(copies=2)))
    assert (found.copies, found.gpus_to_lose, found.nodes_to_lose) == (2, 1, 1)
    assert (found.critical_ranks, found.critical_nodes) == ((), ())


def test_two_copies_in_one_pod_survive_a_gpu_and_no_node() -> None:
    found = coverage(placed(shaped(experts=4), on_nodes(1, 4), ranks=4, constraints=Constraints(copies=2)))
    assert (found.gpus_to_lose, found.nodes_to_lose, found.critical_nodes) == (1, 0, ("node-0",))
    assert coverage_notes(found) == ("stage 0: the loss of a node leaves experts without a host until they are loaded",)


def test_pods_without_a_known_node_are_domains_of_their_own() -> None:
    stage = placed(shaped(experts=4), on_nodes(2, 2), ranks=4).stages[0]
    nameless = replace(stage, seats=tuple(replace(seat, node=None) for seat in stage.seats))
    assert stage_coverage(nameless).critical_nodes == ("stage 0 pod 0", "stage 0 pod 1")


def test_headroom_is_what_is_left_on_the_others() -> None:
    stage = placed(shaped(experts=8), on_nodes(2, 4), ranks=8).stages[0]
    found = stage_coverage(stage, Room(lanes_per_rank=2, experts_per_rank=2))
    assert found.gpu_headroom == Headroom(experts=6, lanes=6, at="any GPU")
    assert found.node_headroom == Headroom(experts=0, lanes=0, at="node-0")
    assert found.node_headroom.is_enough


def test_too_little_headroom_is_said_once_for_stages_alike() -> None:
    layout = placed(shaped(layers=3, experts=8), on_nodes(6, 4), ranks=8, stages=3)
    notes = coverage_notes(coverage(layout, Room(lanes_per_rank=2, experts_per_rank=1)))
    assert "3 stages (0 to 2): after the loss of one node there is no room for 4 experts" in notes
    assert "3 stages (0 to 2): after the loss of one GPU there is no room for 1 experts" in notes


def test_lost_experts_leave_nothing_to_lose() -> None:
    stage = placed(shaped(experts=4), on_nodes(1, 4), ranks=4).stages[0]
    gone = replace(stage, copies=stage.copies[1:])
    found = stage_coverage(gone)
    assert (found.copies, found.gpus_to_lose, found.uncovered) == (0, 0, (0,))


def test_stages_without_experts_do_not_count() -> None:
    layout = placed(shaped(layers=2, experts=4, dense=(0,)), on_nodes(2, 4), ranks=4, stages=2)
    assert [stage.stage for stage in coverage(layout).stages] == [1]


def test_experts_lost_are_the_mean_over_nodes() -> None:
    stage = placed(shaped(experts=16), on_nodes(2, 8), ranks=16).stages[0]
    assert experts_lost_per_node(stage) == 8


def is_served(stage: StageLayout, dead: set[int]) -> bool:
    return all(set(stage.hosts(expert)) - dead for expert in stage.experts)


@settings(max_examples=150, deadline=None)
@given(cases())
def test_claims_of_what_may_die_are_true_by_brute_force(case: Case) -> None:
    stage = case.stage
    found = stage_coverage(stage)
    nodes: dict[str, set[int]] = {}
    for seat in stage.seats:
        nodes.setdefault(seat.node or "", set()).add(seat.rank)
    for number in range(min(found.gpus_to_lose + 2, len(stage.ranks) + 1)):
        survives = all(is_served(stage, set(dead)) for dead in combinations(stage.ranks, number))
        assert survives == (number <= found.gpus_to_lose)
    for number in range(min(found.nodes_to_lose + 2, len(nodes) + 1)):
        survives = all(is_served(stage, set().union(*dead)) for dead in combinations(nodes.values(), number))
        assert survives == (number <= found.nodes_to_lose)
    assert found.critical_ranks == tuple(rank for rank in stage.ranks if not is_served(stage, {rank}))
    assert found.critical_nodes == tuple(node for node, ranks in nodes.items() if not is_served(stage, ranks))


@settings(max_examples=150, deadline=None)
@given(cases(), st.data())
def test_claims_of_headroom_are_what_rehost_does(case: Case, data: st.DataObject) -> None:
    stage = case.stage
    fullest = max(len(stage.held(rank)) for rank in stage.ranks)
    room = Room(lanes_per_rank=data.draw(st.integers(1, 4)), experts_per_rank=fullest + data.draw(st.integers(0, 3)))
    found = stage_coverage(stage, room)
    nodes: dict[str, frozenset[int]] = {}
    for seat in stage.seats:
        nodes[seat.node or ""] = nodes.get(seat.node or "", frozenset()) | {seat.rank}
    for losses, headroom in (
        ([frozenset({rank}) for rank in stage.ranks], found.gpu_headroom),
        (list(nodes.values()), found.node_headroom),
    ):
        assert headroom is not None
        results = [rehost(stage, lost=lost, room=room) for lost in losses]
        assert max(len(result.lost_experts) for result in results) == max(0, -(headroom.experts or 0))
        assert max(len(result.homeless_lanes) for result in results) == max(0, -headroom.lanes)
