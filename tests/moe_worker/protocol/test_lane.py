from typing import Any

from moe_wire.messages import Broken, Dispatch, Logprobs, Reset, Segment, Step, Tokens
from moe_worker.protocol.compute import Sampled
from moe_worker.protocol.lane import HOLD_SECONDS, Lane, State
from moe_worker.protocol.links import Links
from moe_worker.protocol.requests import Requests
from tests.moe_worker.protocol.recording import ROWS, RecordingCompute, RecordingTransport

LANE, OWN, HOST, NEXT, OTHER, UPSTREAM = 3, 0, 1, 10, 11, 77
LAYER, EXPERT = 4, 40
LOGPROBS = Logprobs(-0.5, ((42, -0.5),))


class Seat:
    """One lane at rank 0, which asks rank 1 for its only expert and sends on to rank 10."""

    def __init__(self, layers: range = range(LAYER, LAYER + 1), outcome: Any = ROWS, routed: bool = True) -> None:
        self.transport = RecordingTransport()
        self.links = Links(OWN, self.transport)
        routes = {layer: (EXPERT + layer,) for layer in layers} if routed else {}
        self.compute = RecordingCompute(routes, outcome)
        self.requests = Requests(self.links)
        self.requests.follow({EXPERT + layer: (HOST,) for layer in layers})
        self.told: list[int] = []
        self.may_hold = True
        report = lambda _, term: self.told.append(term)  # noqa: E731
        self.lane = Lane(LANE, layers, self.compute, self.requests, self.links, report, lambda: self.may_hold)
        for peer in (HOST, NEXT, OTHER):
            self.links.connected(peer, 1)
        self.lane.follow(NEXT)
        self.lane.seat()

    def open(self, term: int) -> None:
        self.lane.on_reset(term, UPSTREAM)
        assert self.transport.take_sent() == [(NEXT, Reset(LANE, term))]
        self.compute.take_calls()

    def answer(self) -> None:
        asked = self.lane._active
        assert asked is not None
        self.lane.on_answer(next(iter(asked._awaited)), ROWS)

    def lose(self, peer: int) -> None:
        self.links.lost(peer)
        self.lane.on_lost(peer)


def step(number: int, term: int) -> Step:
    return Step(LANE, term, number, (Segment(1, 0, 2, (0,), None),), (), ROWS)


def broken(term: int) -> list[tuple[int, Broken]]:
    return [(UPSTREAM, Broken(LANE, term))]


def test_a_reset_empties_the_cache_and_goes_on_to_the_next_seat() -> None:
    seat = Seat()
    seat.lane.on_reset(5, UPSTREAM)
    assert seat.compute.take_calls() == [("open", LANE)]
    assert seat.transport.take_sent() == [(NEXT, Reset(LANE, 5))]
    seat.lane.on_reset(6, UPSTREAM)
    assert seat.compute.take_calls() == [("drop lane", LANE), ("open", LANE)]
    assert seat.transport.take_sent() == [(NEXT, Reset(LANE, 6))]


def test_a_lower_or_repeated_reset_is_answered_with_the_higher_term() -> None:
    seat = Seat()
    seat.open(5)
    for term in (4, 5):
        seat.lane.on_reset(term, 78)
        assert seat.transport.take_replied() == [(78, Broken(LANE, 5))]
    assert seat.compute.take_calls() == []
    assert seat.lane.state is State.OPEN


def test_a_higher_reset_over_another_connection_tells_the_older_path() -> None:
    seat = Seat()
    seat.open(5)
    seat.lane.on_reset(6, 78)
    assert seat.transport.take_replied() == broken(6)
    seat.lane.on_reset(7, 78)
    assert seat.transport.take_replied() == []


def test_a_reset_is_held_until_the_next_seat_is_connected_and_forwarded_once() -> None:
    seat = Seat()
    seat.lose(NEXT)
    seat.lane.on_reset(5, UPSTREAM)
    seat.lane.on_reset(6, UPSTREAM)
    assert seat.transport.take_sent() == []
    assert seat.lane.state is State.HELD
    seat.links.connected(NEXT, 2)
    seat.lane.on_connected(NEXT)
    seat.lane.on_connected(NEXT)
    assert seat.transport.take_sent() == [(NEXT, Reset(LANE, 6))]


def test_a_held_reset_goes_to_the_seat_the_view_names_by_then() -> None:
    seat = Seat()
    seat.lane.follow(None)
    seat.lane.on_reset(5, UPSTREAM)
    seat.lane.follow(OTHER)
    assert seat.transport.take_sent() == [(OTHER, Reset(LANE, 5))]
    assert seat.told == []


def test_a_reset_for_a_seat_not_yet_given_waits_for_the_view() -> None:
    seat = Seat()
    seat.lane.unseat()
    seat.lane.on_reset(5, UPSTREAM)
    seat.lane.on_reset(6, UPSTREAM)
    assert seat.compute.take_calls() == []
    seat.lane.seat()
    assert seat.compute.take_calls() == [("open", LANE)]
    assert seat.transport.take_sent() == [(NEXT, Reset(LANE, 6))]


def test_what_is_computed_before_the_next_seat_is_there_waits_behind_the_reset() -> None:
    seat = Seat(routed=False)
    seat.lane.follow(None)
    seat.lane.on_reset(5, UPSTREAM)
    for number in (1, 2):
        seat.lane.on_step(step(number, 5), UPSTREAM)
        seat.lane.advance()
        seat.lane.advance()
    assert seat.transport.take_sent() == []
    assert seat.lane.num_rows == 4
    seat.lane.follow(OTHER)
    assert seat.transport.take_sent() == [(OTHER, Reset(LANE, 5)), (OTHER, step(1, 5)), (OTHER, step(2, 5))]
    assert seat.lane.num_rows == 0


def test_what_waits_behind_a_reset_ends_with_its_life() -> None:
    seat = Seat(routed=False)
    seat.lose(NEXT)
    seat.lane.on_reset(5, UPSTREAM)
    seat.lane.on_step(step(1, 5), UPSTREAM)
    seat.lane.advance()
    seat.lane.advance()
    seat.lane.on_reset(6, UPSTREAM)
    seat.links.connected(NEXT, 2)
    seat.lane.on_connected(NEXT)
    assert seat.transport.take_sent() == [(NEXT, Reset(LANE, 6))]


def test_steps_for_a_seat_not_yet_given_wait_behind_their_reset() -> None:
    seat = Seat(routed=False)
    seat.lane.unseat()
    seat.lane.on_reset(5, UPSTREAM)
    seat.lane.on_step(step(1, 5), UPSTREAM)
    seat.lane.on_reset(6, UPSTREAM)
    seat.lane.on_step(step(1, 6), UPSTREAM)
    seat.lane.on_step(step(2, 6), UPSTREAM)
    assert (seat.lane.is_idle, seat.lane.holds_steps, seat.lane.num_rows) == (True, True, 4)
    seat.lane.seat()
    assert not seat.lane.holds_steps
    for _ in range(4):
        seat.lane.advance()
    assert seat.transport.take_sent() == [(NEXT, Reset(LANE, 6)), (NEXT, step(1, 6)), (NEXT, step(2, 6))]
    assert seat.told == []


def test_a_life_that_there_is_no_room_for_is_turned_away() -> None:
    seat = Seat()
    seat.lane.unseat()
    seat.may_hold = False
    seat.lane.on_reset(5, UPSTREAM)
    seat.lane.on_step(step(1, 5), UPSTREAM)
    assert seat.transport.take_replied() == broken(5)
    seat.lane.seat()
    assert seat.compute.take_calls() == []
    seat.lane.on_step(step(2, 5), UPSTREAM)
    assert seat.transport.take_replied() == broken(5)


def test_steps_run_in_order_through_all_layers_and_go_on() -> None:
    seat = Seat(range(4, 6))
    seat.open(5)
    seat.lane.on_step(step(1, 5), UPSTREAM)
    seat.lane.on_step(step(2, 5), UPSTREAM)
    seat.lane.advance()
    assert not seat.lane.can_advance, "a step waits for its experts, the next one behind it"
    seat.answer()
    seat.lane.advance()
    seat.answer()
    seat.transport.take_sent()
    seat.lane.advance()
    assert seat.transport.take_sent() == [(NEXT, step(1, 5))]
    expected = [
        ("begin", LANE),
        ("attend", 4),
        ("combine", 4, (44,)),
        ("attend", 5),
        ("combine", 5, (45,)),
        ("finish",),
    ]
    assert seat.compute.take_calls() == expected
    assert seat.lane.can_advance


def test_a_layer_that_asks_no_expert_goes_straight_on() -> None:
    seat = Seat(routed=False)
    seat.open(5)
    seat.lane.on_step(step(1, 5), UPSTREAM)
    seat.lane.advance()
    assert seat.lane.can_advance
    seat.lane.advance()
    assert seat.transport.take_sent() == [(NEXT, step(1, 5))]


def test_the_last_stage_sends_tokens_with_their_logprobs() -> None:
    seat = Seat(outcome=Sampled(((1, 42),), (LOGPROBS,)), routed=False)
    seat.open(5)
    seat.lane.on_step(step(1, 5), UPSTREAM)
    seat.lane.advance()
    seat.lane.advance()
    assert seat.transport.take_sent() == [(NEXT, Tokens(LANE, 5, 1, ((1, 42),), (LOGPROBS,)))]


def test_a_gap_breaks_the_life() -> None:
    seat = Seat()
    seat.open(5)
    seat.lane.on_step(step(1, 5), UPSTREAM)
    seat.lane.on_step(step(3, 5), UPSTREAM)
    assert seat.told == [5]
    assert seat.lane.is_idle


def test_a_step_of_a_lower_or_unknown_term_is_refused() -> None:
    seat = Seat()
    seat.open(5)
    seat.lane.on_step(step(1, 4), 78)
    seat.lane.on_step(step(1, 6), 78)
    assert seat.transport.take_replied() == [(78, Broken(LANE, 5)), (78, Broken(LANE, 6))]
    assert seat.lane.is_idle
    assert seat.lane.state is State.OPEN


def test_losing_the_next_seat_breaks_even_an_idle_lane() -> None:
    seat = Seat()
    seat.open(5)
    seat.lose(NEXT)
    assert seat.told == [5]
    seat.lose(NEXT)
    assert seat.told == [5]


def test_losing_anybody_else_breaks_nothing() -> None:
    seat = Seat()
    seat.open(5)
    seat.lose(OTHER)
    assert seat.told == []


def test_a_view_that_moves_the_next_seat_breaks_the_life() -> None:
    seat = Seat()
    seat.open(5)
    seat.lane.follow(NEXT)
    assert seat.told == []
    seat.lane.follow(OTHER)
    assert seat.told == [5]


def test_broken_counts_from_the_next_seat_only_and_for_this_term_only() -> None:
    seat = Seat()
    seat.open(5)
    seat.lane.on_broken(OTHER, 5)
    seat.lane.on_broken(NEXT, 4)
    assert seat.told == []
    seat.lane.on_broken(NEXT, 5)
    seat.lane.on_broken(NEXT, 5)
    assert seat.told == [5]


def test_a_higher_term_is_passed_up_from_anybody() -> None:
    seat = Seat()
    seat.open(5)
    seat.lane.on_broken(OTHER, 9)
    assert seat.told == [9]
    seat.lane.on_reset(8, UPSTREAM)
    assert seat.transport.take_replied() == broken(9)


def test_a_reset_drops_what_the_step_under_way_has_asked() -> None:
    seat = Seat()
    seat.open(5)
    seat.lane.on_step(step(1, 5), UPSTREAM)
    seat.lane.advance()
    assert seat.requests.num_outstanding == 1
    seat.lane.on_reset(6, UPSTREAM)
    assert seat.requests.num_outstanding == 0
    assert seat.lane.is_idle
    sent = [type(message) for _, message in seat.transport.take_sent()]
    assert sent == [Dispatch, Reset]


def test_the_cache_outlives_a_break_and_ends_with_the_seat() -> None:
    seat = Seat()
    seat.open(5)
    seat.lose(NEXT)
    assert seat.compute.take_calls() == []
    seat.lane.unseat()
    assert seat.compute.take_calls() == [("drop lane", LANE)]
    assert seat.told == [5]


def test_giving_up_a_seat_tells_upstream() -> None:
    seat = Seat()
    seat.open(5)
    seat.lane.unseat()
    seat.lane.unseat()
    assert seat.told == [5]
    seat.lane.on_step(step(1, 5), UPSTREAM)
    assert seat.transport.take_replied() == broken(5)


def test_what_is_held_for_a_seat_that_is_never_given_is_turned_away_in_time() -> None:
    seat = Seat()
    seat.lane.unseat()
    seat.lane.on_reset(5, UPSTREAM)
    assert seat.lane.next_deadline() is None
    seat.lane.on_step(step(1, 5), UPSTREAM)
    assert seat.lane.next_deadline() == 0.0
    seat.lane.tick(7.0)
    assert seat.lane.next_deadline() == 7.0 + HOLD_SECONDS
    seat.lane.tick(7.0 + HOLD_SECONDS)
    assert seat.transport.take_replied() == broken(5)
    assert (seat.lane.next_deadline(), seat.lane.num_rows) == (None, 0)
