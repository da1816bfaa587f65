from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from moe_planner.lanes import lanes_on_the_way, seat_lanes, within_room
from moe_planner.layout import LaneSeat
from moe_planner.moves import LaneMove, Room

ROOM = Room(lanes_per_rank=2)
NOTHING: Counter[int] = Counter()


def seated(*ranks: int | None) -> tuple[LaneSeat, ...]:
    return tuple(LaneSeat(lane=lane, rank=rank) for lane, rank in enumerate(ranks))


def on_the_way(
    lanes: tuple[LaneSeat, ...], *, leaving: frozenset[int], unready: frozenset[int] = frozenset()
) -> tuple[LaneSeat, ...]:
    """Of four ranks, lane i at home on rank i."""
    usable = frozenset(range(4)) - leaving
    home = seated(0, 1, 2, 3)
    return lanes_on_the_way(lanes, home, usable=usable, leaving=leaving, unready=unready, held=NOTHING, room=ROOM)


def test_lanes_go_to_the_ranks_with_the_fewest_lanes_then_experts() -> None:
    seats, moves = seat_lanes(seated(0, 1, 2), [1, 2, 3], Counter({3: 5}), ROOM)
    assert seats == seated(3, 1, 2)
    assert moves == (LaneMove(lane=0, from_rank=0, to_rank=3),)
    assert seat_lanes(seated(0, 1, 2), [1, 2], Counter({1: 5}), ROOM)[0] == seated(2, 1, 2)


def test_ranks_to_avoid_are_taken_when_the_others_are_full() -> None:
    seats, _ = seat_lanes(seated(9, 9, 9), [0, 1], NOTHING, ROOM, avoid=frozenset({0}))
    assert seats == seated(1, 1, 0)


def test_who_finds_no_room_has_no_rank() -> None:
    seats, moves = seat_lanes(seated(9, 9, 9), [0], NOTHING, ROOM)
    assert (seats, len(moves)) == (seated(0, 0, None), 2)


def test_a_lane_leaves_for_the_emptiest_rank_and_comes_home_again() -> None:
    away = on_the_way(seated(0, 1, 2, 3), leaving=frozenset({2}))
    assert away == seated(0, 1, 0, 3)
    assert on_the_way(away, leaving=frozenset()) == seated(0, 1, 2, 3)


def test_a_lane_waits_for_what_its_home_has_to_load() -> None:
    assert on_the_way(seated(0, 1, 0, 3), leaving=frozenset(), unready=frozenset({2})) == seated(0, 1, 0, 3)
    assert on_the_way(seated(0, 1, None, 3), leaving=frozenset(), unready=frozenset({2})) == seated(0, 1, 2, 3)


def test_a_lane_that_finds_no_room_stays_on_the_rank_that_is_left() -> None:
    assert on_the_way(seated(0, 1, 2, 3), leaving=frozenset({1, 2, 3})) == seated(0, 0, 2, 3)


def test_moves_onto_a_full_rank_are_taken_back() -> None:
    assert within_room(Room(lanes_per_rank=1), seated(0, 1), seated(1, 1)) == seated(0, 1)
    assert within_room(Room(lanes_per_rank=1), seated(0, 1), seated(1, 0)) == seated(1, 0)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_rank_gets_more_lanes_than_it_has_room_for_and_nobody_goes_where_he_should_not(data: st.DataObject) -> None:
    ranks = range(data.draw(st.integers(1, 6)))
    some = st.frozensets(st.sampled_from(ranks))
    room = Room(lanes_per_rank=data.draw(st.integers(1, 3)))
    leaving, unready = data.draw(some), data.draw(some)
    usable = data.draw(some) - leaving
    before, free = [], [rank for rank in ranks for _ in range(room.lanes_per_rank)]
    for _ in ranks:
        before.append(free.pop(data.draw(st.integers(0, len(free) - 1))))
    lanes, home = seated(*before), seated(*ranks)
    after = lanes_on_the_way(lanes, home, usable=usable, leaving=leaving, unready=unready, held=NOTHING, room=room)
    assert all(number <= room.lanes_per_rank for number in Counter(lane.rank for lane in after).values())
    for old, new in zip(lanes, after, strict=True):
        assert new == old or new.rank in usable
    stuck = [new for old, new in zip(lanes, after, strict=True) if new == old and new.rank in leaving]
    seats = Counter(lane.rank for lane in after)
    assert not stuck or all(seats[rank] >= room.lanes_per_rank for rank in usable)
