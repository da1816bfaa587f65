from typing import Any

from moe_api.stage import MoEStage
from moe_gateway.router import HeadKey
from moe_gateway.topology import HeadTarget, head_targets
from tests.moe_gateway.stages import stage_json


def targets(**changes: Any) -> dict[HeadKey, HeadTarget]:
    return head_targets([MoEStage.load(stage_json(**changes))])


def test_every_seat_with_a_lane_is_a_head() -> None:
    found = targets()
    assert sorted(key.rank for key in found) == [0, 1]
    target = found[HeadKey(replica=0, rank=1, pod_uid="uid")]
    assert target == HeadTarget(key=target.key, num_lanes=1, num_open_lanes=1, epoch=7, address=("127.244.0.1", 4001))


def test_a_seat_that_took_a_lane_over_counts_for_two() -> None:
    found = targets(lanes=[{"lane": 0, "rank": 1}, {"lane": 1, "rank": 1}])
    assert [(key.rank, target.num_lanes) for key, target in found.items()] == [(1, 2)]


def test_a_lane_that_is_about_to_move_is_not_open() -> None:
    lanes = [{"lane": 0, "rank": 1}, {"lane": 1, "rank": 1}]
    found = targets(lanes=lanes, draining_lanes=[0])
    assert [(target.num_lanes, target.num_open_lanes) for target in found.values()] == [(2, 1)]


def test_a_lane_without_a_rank_has_no_head() -> None:
    assert [key.rank for key in targets(lanes=[{"lane": 0, "rank": None}, {"lane": 1, "rank": 1}])] == [1]


def test_an_address_of_an_earlier_pod_is_not_the_seat_s() -> None:
    found = targets(reported_uid="earlier")
    assert {target.address for target in found.values()} == {None}


def test_other_stages_have_no_heads() -> None:
    assert targets(stage=1) == {}


def test_replicas_are_told_apart() -> None:
    stages = [MoEStage.load(stage_json(replica=replica)) for replica in (0, 1)]
    assert len(head_targets(stages)) == 4
