from dataclasses import replace

from benchmarks.chaos.faults import Strike
from benchmarks.chaos.room import CONTROL_APART_S, Room
from demo.observe import Seat

SEATS = [
    Seat(stage="s0", rank=rank, pod=f"p{rank // 2}", node=f"n{rank // 2}", gpu=rank % 2, incarnation=5, experts=(),
         lanes=())
    for rank in range(4)
]  # fmt: skip
ALL = {0, 1, 2, 3}


def strike(*taken: Seat, is_fatal: bool = False) -> Strike:
    return Strike(words="", taken=taken, strike=lambda: None, is_fatal=is_fatal)


def ranks(seats: list[Seat]) -> list[int]:
    return [seat.rank for seat in seats]


def test_seats_whose_supervisor_was_killed_do_not_count_while_the_operator_still_says_that_they_serve() -> None:
    room = Room()
    room.take(strike(SEATS[0], SEATS[1], is_fatal=True), 0)
    left = room.usable(SEATS, ALL, [])
    assert ranks(left) == [2, 3]
    assert not room.has(strike(SEATS[2]), left, 0)


def test_a_seat_counts_again_when_another_process_serves_in_it() -> None:
    room = Room()
    room.take(strike(SEATS[0], is_fatal=True), 0)
    again = [replace(SEATS[0], incarnation=6), *SEATS[1:]]
    assert ranks(room.usable(again, {1, 2, 3}, [])) == [1, 2, 3]
    assert ranks(room.usable(again, ALL, [])) == [0, 1, 2, 3]


def test_a_seat_in_another_pod_counts_again_though_its_incarnations_begin_anew() -> None:
    room = Room()
    room.take(strike(SEATS[0], is_fatal=True), 0)
    assert ranks(room.usable([replace(SEATS[0], pod="p0-a1"), *SEATS[1:]], ALL, [])) == [0, 1, 2, 3]


def test_what_is_struck_does_not_count_until_it_is_undone() -> None:
    evacuated = strike(SEATS[3])
    room = Room()
    room.take(evacuated, 0)
    assert ranks(room.usable(SEATS, ALL, [evacuated])) == [0, 1, 2]
    assert ranks(room.usable(SEATS, ALL, [])) == [0, 1, 2, 3]


def test_two_seats_are_left_in_the_stage() -> None:
    assert Room().has(strike(SEATS[0], SEATS[1]), SEATS, 0)
    assert not Room().has(strike(SEATS[0], SEATS[1]), SEATS[:3], 0)


def test_those_who_decide_are_struck_again_only_after_a_while() -> None:
    room = Room()
    assert room.has(strike(), SEATS, 0)
    room.take(strike(), 0)
    assert not room.has(strike(), SEATS, CONTROL_APART_S - 1)
    assert room.has(strike(), SEATS, CONTROL_APART_S)
