from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from moe_planner.copies import restored, with_loading
from moe_planner.home import home, is_home
from moe_planner.layout import Copy, LaneSeat, StageLayout
from moe_planner.moves import Move, Room
from moe_planner.rehost import rehost
from tests.moe_planner.inputs import any_stage, stage

ROOM = Room(lanes_per_rank=3)


def loading_pairs(layout: StageLayout) -> frozenset[tuple[int, int]]:
    return frozenset((copy.expert, copy.rank) for copy in layout.copies if copy.state == "loading")


def test_the_way_home_is_load_then_switch() -> None:
    planned = stage(ranks=4, experts=4)
    moved = rehost(planned, lost=frozenset({1}), room=ROOM).layout
    healthy = frozenset(planned.ranks)
    first = home(moved, planned, available=healthy)
    assert first.masked == ()
    assert (first.hosts(1), first.loading(1)) == ((0,), (1,))
    assert first.lanes == moved.lanes
    assert home(first, planned, available=healthy) == first
    second = home(first, planned, available=healthy, loaded=frozenset({(1, 1)}))
    assert second == planned
    assert is_home(second, planned)


def test_a_layout_at_home_stays_as_it_is() -> None:
    planned = stage(copies=2)
    assert home(planned, planned, available=frozenset(planned.ranks)) == planned


def test_ranks_that_are_not_available_stay_masked() -> None:
    planned = stage(ranks=4, experts=4)
    moved = rehost(planned, lost=frozenset({1}), room=ROOM).layout
    assert home(moved, planned, available=frozenset({0, 2, 3})) == moved


def test_an_expert_without_any_host_is_served_at_home_at_once() -> None:
    planned = stage(ranks=4, experts=4)
    gone = rehost(planned, lost=frozenset(planned.ranks), room=ROOM).layout
    assert home(gone, planned, available=frozenset(planned.ranks)) == planned


def test_a_lane_waits_while_its_home_is_full() -> None:
    planned = stage(ranks=4, experts=4)
    seats = tuple(LaneSeat(lane=lane, rank=rank) for lane, rank in enumerate((3, 0, 0, 3)))
    crowded = replace(planned, lanes=seats, masked=(1, 2))
    available = frozenset({0, 3})
    assert home(crowded, planned, available=available, room=Room(lanes_per_rank=2)).lanes == seats
    assert home(crowded, planned, available=available, room=Room(lanes_per_rank=3)).lanes_at(0) == (0, 1, 2)
    assert home(crowded, planned, available=frozenset(range(4)), room=Room(lanes_per_rank=1)) == planned


def test_nothing_loads_on_a_rank_that_holds_as_much_as_it_can() -> None:
    planned = stage(ranks=4, experts=4)
    moved = tuple(replace(copy, rank=1) if copy.expert == 0 else copy for copy in planned.copies)
    crowded = replace(planned, copies=tuple(replace(c, rank=0) if c.expert == 1 else c for c in moved))
    tight = Room(lanes_per_rank=3, experts_per_rank=1)
    healthy = frozenset(planned.ranks)
    assert home(crowded, planned, available=healthy, room=tight) == crowded
    wide = home(crowded, planned, available=healthy, room=Room(lanes_per_rank=3, experts_per_rank=2))
    assert (wide.loading(0), wide.loading(1)) == ((0,), (1,))


def test_a_copy_that_stands_in_is_loaded_then_serves_then_goes() -> None:
    planned = stage(ranks=4, experts=4, copies=2)
    lost, kept = planned.hosts(0)
    spare = next(rank for rank in planned.ranks if rank not in (lost, kept))
    damaged = rehost(planned, lost=frozenset({lost}), room=ROOM).layout
    standing_in = replace(damaged, copies=(*damaged.copies, Copy(expert=0, rank=spare, state="loading")))
    alive = frozenset(planned.ranks) - {lost}
    assert home(standing_in, planned, available=alive).loading(0) == (spare,)
    serving = home(standing_in, planned, available=alive, loaded=frozenset({(0, spare)}))
    assert set(serving.hosts(0)) == {kept, spare}
    back = home(serving, planned, available=frozenset(planned.ranks))
    assert (set(back.hosts(0)), back.loading(0)) == ({kept, spare}, (lost,))
    pairs = loading_pairs(back)
    assert is_home(home(back, planned, available=frozenset(planned.ranks), loaded=pairs), planned)


@settings(max_examples=150, deadline=None)
@given(any_stage(), st.data())
def test_home_converges_to_the_plan_in_bounded_commits_under_any_order_of_loading(
    planned: StageLayout, data: st.DataObject
) -> None:
    layout = planned
    for _ in range(data.draw(st.integers(1, 3))):
        lost = data.draw(st.frozensets(st.sampled_from(planned.ranks)))
        layout = rehost(layout, lost=lost, room=ROOM).layout
    healthy = frozenset(planned.ranks)
    commits = 0
    loaded: frozenset[tuple[int, int]] = frozenset()
    while not is_home(layout, planned):
        following = home(layout, planned, available=healthy, loaded=loaded, room=ROOM)
        if following == layout:
            waiting = sorted(loading_pairs(layout) - loaded)
            assert waiting, "nothing to wait for, and not at home"
            loaded |= data.draw(st.sets(st.sampled_from(waiting), min_size=1).map(frozenset))
            continue
        assert all(following.hosts(e) for e in layout.experts if layout.hosts(e)), "an expert lost its host"
        assert all(len(following.lanes_at(rank)) <= ROOM.lanes_per_rank for rank in following.ranks)
        layout = following
        commits += 1
        assert commits <= 1 + len(planned.copies)
    assert home(layout, planned, available=healthy, loaded=loaded, room=ROOM) == layout


@settings(max_examples=150, deadline=None)
@given(any_stage(), st.data())
def test_it_takes_two_commits_when_all_have_loaded(planned: StageLayout, data: st.DataObject) -> None:
    lost = data.draw(st.frozensets(st.sampled_from(planned.ranks)))
    layout = rehost(planned, lost=lost, room=ROOM).layout
    healthy = frozenset(planned.ranks)
    first = home(layout, planned, available=healthy, room=ROOM)
    second = home(first, planned, available=healthy, loaded=loading_pairs(first), room=ROOM)
    assert is_home(second, planned)


def test_what_a_leaving_rank_holds_serves_until_another_has_loaded_it() -> None:
    planned = stage(ranks=4, experts=4)
    alive, leaving = frozenset(planned.ranks), frozenset({1})
    loading = with_loading(planned, (Move(expert=1, from_rank=1, to_rank=2),))
    assert home(loading, planned, available=alive, leaving=leaving).copies == loading.copies
    left = home(loading, planned, available=alive, leaving=leaving, loaded=frozenset({(1, 2)}), room=ROOM)
    assert (left.hosts(1), left.loading(1), left.lanes_at(1)) == ((2,), (), ())
    assert home(left, planned, available=alive, leaving=leaving, room=ROOM) == left


def test_a_leaving_rank_that_is_the_only_one_keeps_what_it_has() -> None:
    planned = stage(ranks=4, experts=4)
    everybody = frozenset(planned.ranks)
    assert home(planned, planned, available=everybody, leaving=everybody, room=ROOM) == planned


def test_a_copy_that_nobody_else_can_take_is_let_go_where_another_serves() -> None:
    planned = stage(ranks=4, experts=4, copies=2)
    full = Room(lanes_per_rank=3, experts_per_rank=2)
    everybody, leaving = frozenset(planned.ranks), frozenset({1})
    left = home(planned, planned, available=everybody, leaving=leaving, room=full)
    assert left.held(1) == ()
    assert left.coverage == 1
    roomy = Room(lanes_per_rank=3, experts_per_rank=3)
    assert home(planned, planned, available=everybody, leaving=leaving, room=roomy).copies != left.copies


def test_no_more_loads_begin_than_may_be_under_way() -> None:
    planned = stage(ranks=4, experts=4)
    moved = rehost(planned, lost=frozenset({1, 2, 3}), room=Room(lanes_per_rank=4)).layout
    everybody = frozenset(planned.ranks)
    first = home(moved, planned, available=everybody, at_once=2)
    assert loading_pairs(first) == {(1, 1), (2, 2)}
    assert home(first, planned, available=everybody, at_once=2) == first
    second = home(first, planned, available=everybody, loaded=frozenset({(1, 1)}), at_once=2)
    assert (second.hosts(1), loading_pairs(second)) == ((1,), {(2, 2), (3, 3)})


def test_no_load_waits_for_one_that_could_not_be_done_yet() -> None:
    planned = stage(ranks=4, experts=4)
    moved = rehost(planned, lost=frozenset({1, 2, 3}), room=Room(lanes_per_rank=4)).layout
    everybody = frozenset(planned.ranks)
    first = home(moved, planned, available=everybody, at_once=2)
    second = home(first, planned, available=everybody, failing=frozenset({(1, 1)}), at_once=2)
    assert loading_pairs(second) == {(1, 1), (2, 2), (3, 3)}
    assert home(second, planned, available=everybody, failing=frozenset({(1, 1)}), at_once=2) == second


@settings(max_examples=150, deadline=None)
@given(any_stage(), st.data())
def test_ranks_are_emptied_in_bounded_commits_and_no_expert_is_ever_without_its_hosts(
    planned: StageLayout, data: st.DataObject
) -> None:
    lost = data.draw(st.frozensets(st.sampled_from(planned.ranks)))
    leaving = data.draw(st.frozensets(st.sampled_from(planned.ranks))) - lost
    able = frozenset(planned.ranks) - lost
    limit = data.draw(st.one_of(st.none(), st.integers(2, 8)))
    at_once = data.draw(st.integers(1, 4))
    room = Room(lanes_per_rank=data.draw(st.integers(1, 4)), experts_per_rank=limit)
    layout = rehost(planned, lost=lost, room=room, avoid=leaving, planned=planned).layout
    loaded: frozenset[tuple[int, int]] = frozenset()
    for _ in range(4 * len(planned.copies) + 4):
        stepped = home(layout, planned, available=able, leaving=leaving, loaded=loaded, room=room, at_once=at_once)
        following = restored(stepped, planned, room, usable=able - leaving, at_once=at_once)
        for expert in layout.experts:
            least = min(1, len(layout.hosts(expert)))
            assert len(following.hosts(expert)) >= least, "an expert lost its last host"
        began = loading_pairs(following) - loading_pairs(layout)
        assert not began or len(loading_pairs(following)) <= at_once
        assert not {rank for _, rank in began} & leaving, "somebody loads what is to be left"
        waiting = sorted(loading_pairs(following) - loaded)
        if following == layout and not waiting:
            break
        layout = following
        if waiting:
            loaded |= data.draw(st.sets(st.sampled_from(waiting), min_size=1).map(frozenset))
    else:
        raise AssertionError("it does not come to rest")
    usable = able - leaving
    for rank in leaving & able:
        for expert in layout.held(rank):
            free = [
                r for r in usable if expert not in layout.held(r) and (limit is None or len(layout.held(r)) < limit)
            ]
            assert not free, f"expert {expert} is still on rank {rank} although {free} could take it"
            assert not set(layout.hosts(expert)) & usable, f"rank {rank} keeps a copy that others have"
