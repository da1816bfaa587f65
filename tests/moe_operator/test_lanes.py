from __future__ import annotations

from datetime import UTC, datetime, timedelta

from moe_api.convert import stage_spec
from moe_api.deployment import MoEDeployment
from moe_api.planning import plan_deployment
from moe_api.stage import LaneSpec, MoEStageSpec
from moe_operator.decide.lanes import Drain, drain
from moe_planner.layout import LaneSeat
from moe_planner.moves import Room
from tests.moe_operator.test_desire import example

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOM = Room(lanes_per_rank=2)


def spec_with(*lanes: LaneSpec) -> MoEStageSpec:
    """The first stage of the small example: four lanes, which drain for ten seconds."""
    small: MoEDeployment = example("small.yaml")
    spec = stage_spec(small, plan_deployment(small), replica=0, stage=0)
    return spec.model_copy(update={"lanes": list(lanes)})


def lane(number: int, rank: int | None, *, leaving_for: float | None = None) -> LaneSpec:
    since = None if leaving_for is None else (NOW - timedelta(seconds=leaving_for)).isoformat()
    return LaneSpec(lane=number, rank=rank, leaving_since=since)


def seats(*ranks: int | None) -> list[LaneSeat]:
    return [LaneSeat(lane=number, rank=rank) for number, rank in enumerate(ranks)]


def ranks(result: Drain) -> list[int | None]:
    return [one.rank for one in result.lanes]


def test_a_lane_begins_to_leave_and_stays_for_as_long_as_it_may() -> None:
    result = drain(spec_with(lane(0, 0), lane(1, 1)), seats(0, 1), seats(0, 2), ROOM, NOW)
    assert ranks(result) == [0, 1]
    assert [one.leaving_since for one in result.lanes] == [None, "2026-01-01T00:00:00.000000Z"]
    assert result.until == NOW + timedelta(seconds=10)


def test_a_lane_that_has_been_leaving_for_long_enough_moves() -> None:
    spec = spec_with(lane(0, 0, leaving_for=9.5), lane(1, 1, leaving_for=10))
    result = drain(spec, seats(0, 1), seats(2, 3), ROOM, NOW)
    assert ranks(result) == [0, 3]
    assert result.until == NOW + timedelta(seconds=0.5)


def test_a_lane_that_need_not_leave_any_more_stays() -> None:
    result = drain(spec_with(lane(0, 0, leaving_for=5)), seats(0), seats(0), ROOM, NOW)
    assert result.lanes == (lane(0, 0),)
    assert result.until is None


def test_a_lane_of_a_lost_rank_has_nothing_to_end_where_it_was_and_something_where_it_is_now() -> None:
    result = drain(spec_with(lane(0, 0, leaving_for=60)), seats(3), seats(2), ROOM, NOW)
    assert result.lanes == (
        lane(0, 3, leaving_for=0).model_copy(update={"leaving_since": "2026-01-01T00:00:00.000000Z"}),
    )


def test_a_lane_without_a_rank_is_seated_at_once() -> None:
    assert drain(spec_with(lane(0, None)), seats(None), seats(2), ROOM, NOW).lanes == (lane(0, 2),)


def test_a_lane_waits_while_those_that_are_to_make_way_drain() -> None:
    spec = spec_with(lane(0, 0, leaving_for=10), lane(1, 1, leaving_for=1))
    result = drain(spec, seats(0, 1), seats(1, 0), Room(lanes_per_rank=1), NOW)
    assert ranks(result) == [0, 1]
    assert all(one.leaving_since for one in result.lanes)
