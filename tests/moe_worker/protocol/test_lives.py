"""A lane's lives, as the rank that heads it begins and ends them."""

from moe_wire.messages import Broken, Reset, Returned, Tokens
from moe_worker.protocol.transport import Answered, Lost
from tests.moe_worker.protocol.one_rank import FIRST_TERM, GATEWAY, LAST, REQUEST, Rank, around, stage_view, submit


def test_tokens_of_an_older_life_are_ignored() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, submit())
    rank.work()
    rank.core.on_event(Lost(2), 0.0)
    rank.hear(LAST, Tokens(0, FIRST_TERM, 1, ((1, 41),)))
    assert rank.transport.take_replied() == []
    assert rank.core.status().headed[0].term == FIRST_TERM + 1


def test_tokens_out_of_order_begin_a_new_life() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(LAST, Tokens(0, FIRST_TERM, 2, ()))
    assert rank.transport.take_sent() == [(2, Reset(0, FIRST_TERM + 1))]


def test_a_break_of_an_idle_lane_begins_a_new_life() -> None:
    rank = Rank()
    rank.go_live()
    rank.core.on_event(Answered(2, Broken(0, FIRST_TERM)), 0.0)
    assert rank.transport.take_sent() == [(2, Reset(0, FIRST_TERM + 1))]
    rank.core.on_event(Lost(2), 0.0)
    assert rank.core.status().headed[0].term == FIRST_TERM + 2
    assert rank.transport.take_sent() == [], "held until the next seat is back"
    rank.connect(2)
    assert rank.transport.take_sent() == [(2, Reset(0, FIRST_TERM + 2))]


def test_a_new_life_computes_at_once_as_much_as_may_be_in_flight_with_what_the_old_one_left() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, submit())
    rank.work()
    assert rank.core.status().headed[0].steps_in_flight == 1

    for life in (1, 2, 3, 4):
        rank.core.on_event(Answered(2, Broken(0, FIRST_TERM + life - 1)), 0.0)
        rank.work()
        head = rank.core.status().headed[0]
        assert (head.live, head.steps_in_flight) == (False, 1 if life < 4 else 0), "four may be on the links"

    rank.hear(LAST, Reset(0, FIRST_TERM + 4))
    rank.work()
    assert rank.core.status().headed[0].steps_in_flight == 1


def test_a_new_head_waits_for_its_first_reset_as_it_does_not_know_what_the_one_before_has_sent() -> None:
    rank = Rank()
    rank.connect(1, 2)
    rank.hear(GATEWAY, submit())
    rank.work()
    assert rank.core.status().headed[0].steps_in_flight == 0


def test_tokens_before_the_reset_is_back_begin_a_new_life() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, submit())
    rank.core.on_event(Answered(2, Broken(0, FIRST_TERM)), 0.0)
    rank.work()
    rank.hear(LAST, Tokens(0, FIRST_TERM + 1, 1, ()))
    assert rank.core.status().headed[0].term == FIRST_TERM + 2


def test_a_request_outlives_its_lanes_life() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, submit())
    rank.work()
    rank.core.on_event(Lost(2), 0.0)
    assert rank.transport.take_replied() == []
    status = rank.core.status()
    assert (status.requests, status.outstanding, status.blocks_used) == (1, 0, 0)
    rank.go_live()
    rank.work()
    assert rank.core.status().headed[0].running == 1


def test_an_overtaken_head_returns_its_requests_and_stays_silent() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, submit())
    later = (2 << 40) | (1 << 16)
    rank.core.on_event(Answered(2, Broken(0, later)), 0.0)
    assert rank.transport.take_replied() == [(GATEWAY, Returned(REQUEST, "another head has taken the lane over"))]
    assert rank.core.status().headed == ()
    rank.hear(GATEWAY, submit())
    assert rank.transport.take_replied() == [(GATEWAY, Returned(REQUEST, "no lane has its head at this rank"))]
    rank.told(around(stage_view(0, epoch=3), stage_view(1)))
    assert rank.core.status().headed[0].term == (3 << 40) | (1 << 16)


def test_a_head_that_moves_away_returns_its_requests() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, submit())
    rank.told(around(stage_view(0, epoch=2, lanes={0: 1, 1: 1}), stage_view(1)))
    assert rank.transport.take_replied() == [(GATEWAY, Returned(REQUEST, "the lane has moved to another rank"))]
    assert rank.core.status().blocks_used == 0


def test_requests_of_a_lane_that_a_later_stage_has_no_rank_for_are_returned_once_that_is_known() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, submit())
    rank.told(around(stage_view(0), stage_view(1, epoch=2, lanes={0: None, 1: 2})))
    assert rank.transport.take_replied() == []
    rank.told(around(stage_view(0, epoch=2, draining=frozenset({0})), stage_view(1, epoch=2, lanes={0: None, 1: 2})))
    reason = "the lane is about to move, or has no rank in some stage"
    assert rank.transport.take_replied() == [(GATEWAY, Returned(REQUEST, reason))]
    assert rank.core.status().blocks_used == 0
