from __future__ import annotations

import pytest

from moe_planner.errors import PlanError
from moe_planner.failures import Failure, fail, parse_failures
from moe_planner.inputs import Constraints
from moe_planner.moves import Move, Room
from moe_planner.placement import place
from moe_planner.result import Degrees
from tests.moe_planner.stages import on_nodes, placed, shaped

ROOM = Room(lanes_per_rank=3, experts_per_rank=3)


def test_nodes_and_gpus_are_named_or_numbered() -> None:
    assert parse_failures("node-3, gpu:7/2,gpu:node-0/1,node-3", on_nodes(8, 8)) == (
        Failure(node="node-3"),
        Failure(node="node-7", gpu=2),
        Failure(node="node-0", gpu=1),
    )
    assert str(Failure(node="a", gpu=1)) == "gpu:a/1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("node-9", "none of the 2 nodes (node-0 to node-1)"),
        ("", "none of the 2 nodes"),
        ("gpu:node-0/8", "8 GPUs, counted from 0"),
        ("gpu:node-0", "none of the 2 nodes"),
        ("gpu:-1/0", "none of the 2 nodes"),
        ("2", "none of the 2 nodes"),
    ],
)
def test_what_is_not_there_cannot_fail(text: str, words: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse_failures(text, on_nodes(2, 8))
    assert words in str(caught.value)
    assert caught.value.field == "--fail"


def test_a_gpu_moves_its_expert_and_a_node_all_of_its_own() -> None:
    hardware = on_nodes(4, 4)
    layout = placed(shaped(layers=2, experts=8), hardware, ranks=8, stages=2)
    one, other = fail([layout], parse_failures("gpu:1/2,node-3", hardware), hardware, ROOM)
    assert (one.stage, one.lost_ranks, one.uncovered) == (0, (6,), (6,))
    assert one.rehosting.moves == (Move(expert=6, from_rank=6, to_rank=0),)
    assert (other.stage, other.lost_ranks, other.uncovered) == (1, (12, 13, 14, 15), (12, 13, 14, 15))
    assert [move.to_rank for move in other.rehosting.moves] == [8, 9, 10, 11]


def test_a_copy_elsewhere_leaves_nothing_uncovered() -> None:
    hardware = on_nodes(2, 4)
    layout = placed(shaped(experts=8), hardware, ranks=8, constraints=Constraints(copies=2))
    found = fail([layout], parse_failures("node-0", hardware), hardware, ROOM)[0]
    assert (found.uncovered, found.rehosting.moves, found.rehosting.lost_experts) == ((), (), ())


def test_what_finds_no_room_is_lost() -> None:
    hardware = on_nodes(2, 4)
    layout = placed(shaped(experts=8), hardware, ranks=8)
    tight = Room(lanes_per_rank=1, experts_per_rank=1)
    found = fail([layout], parse_failures("gpu:0/0", hardware), hardware, tight)[0]
    assert (found.rehosting.lost_experts, found.rehosting.homeless_lanes) == ((0,), (0,))


def test_failures_of_unused_gpus_touch_nothing() -> None:
    hardware = on_nodes(2, 4)
    assert fail([placed(shaped(experts=4), hardware, ranks=4)], [Failure(node="node-1")], hardware, ROOM) == ()


def test_a_node_shared_by_replicas_fails_for_both() -> None:
    hardware = on_nodes(1, 8)
    layouts = place(shaped(experts=4), hardware, Degrees(expert=4, pipeline=1, data=2), Constraints())
    found = fail(layouts, [Failure(node="node-0", gpu=3), Failure(node="node-0", gpu=4)], hardware, ROOM)
    assert [(one.replica, one.lost_ranks) for one in found] == [(0, (3,)), (1, (0,))]
