from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from moe_planner.layout import Copy, LaneSeat, StageLayout
from moe_planner.moves import LaneMove, Move, Room
from moe_planner.rehost import rehost
from tests.moe_planner.inputs import any_stage, make, stage

ROOM = Room(lanes_per_rank=3)


def copies(layout: StageLayout) -> set[Copy]:
    return set(layout.copies)


def test_one_lost_rank_moves_exactly_its_expert_and_its_lane() -> None:
    before = make().layout.stages[3]
    result = rehost(before, lost=frozenset({51}), room=ROOM)
    assert result.moves == (Move(expert=51, from_rank=51, to_rank=48),)
    assert result.lane_moves == (LaneMove(lane=3, from_rank=51, to_rank=49),)
    assert result.layout.masked == (51,)
    assert copies(before) - copies(result.layout) == {Copy(expert=51, rank=51)}
    assert copies(result.layout) - copies(before) == {Copy(expert=51, rank=48)}
    assert (result.lost_experts, result.homeless_lanes) == ((), ())


def test_a_live_copy_takes_over_without_a_move() -> None:
    before = stage(copies=2)
    result = rehost(before, lost=frozenset({0}), room=ROOM)
    assert result.moves == ()
    assert result.layout.hosts(0) == (4,)
    assert result.layout.coverage == 1


def test_a_copy_that_is_being_loaded_becomes_the_host() -> None:
    planned = stage(ranks=4, experts=4)
    before = replace(planned, copies=(*planned.copies, Copy(expert=0, rank=3, state="loading")))
    result = rehost(before, lost=frozenset({0}), room=ROOM)
    assert result.moves == (Move(expert=0, from_rank=0, to_rank=3),)
    assert result.layout.hosts(0) == (3,)
    assert result.layout.loading(0) == ()


def test_an_empty_rank_is_taken_before_a_loaded_one() -> None:
    planned = stage(ranks=4, experts=4)
    moved = tuple(Copy(expert=c.expert, rank=0 if c.expert == 3 else c.rank) for c in planned.copies)
    before = replace(planned, copies=moved)
    result = rehost(before, lost=frozenset({1}), room=ROOM)
    assert result.moves == (Move(expert=1, from_rank=1, to_rank=3),)


def test_lanes_go_where_few_lanes_and_few_experts_are() -> None:
    result = rehost(stage(ranks=4, experts=4), lost=frozenset({0, 1}), room=ROOM)
    assert result.moves == (Move(expert=0, from_rank=0, to_rank=2), Move(expert=1, from_rank=1, to_rank=3))
    assert result.lane_moves == (
        LaneMove(lane=0, from_rank=0, to_rank=2),
        LaneMove(lane=1, from_rank=1, to_rank=3),
    )


def test_what_the_stage_cannot_hold_is_named() -> None:
    before = stage(ranks=4, experts=4)
    result = rehost(before, lost=frozenset({0, 1, 2}), room=Room(lanes_per_rank=2, experts_per_rank=3))
    assert result.lost_experts == (2,)
    assert result.homeless_lanes == (1, 2)
    assert result.layout.lanes[1] == LaneSeat(lane=1, rank=None)
    again = rehost(result.layout, lost=frozenset(), room=Room(lanes_per_rank=4))
    assert again.moves == (Move(expert=2, from_rank=None, to_rank=3),)
    assert again.homeless_lanes == ()


def test_a_copy_of_what_has_others_makes_way_for_an_expert_without_any_host() -> None:
    planned = stage(ranks=4, experts=4, copies=2)
    full = Room(lanes_per_rank=4, experts_per_rank=2)
    hosts = planned.hosts(0)
    result = rehost(planned, lost=frozenset(hosts), room=full)
    assert result.lost_experts == ()
    assert [move.expert for move in result.moves] == [
        expert for expert in planned.experts if not set(planned.hosts(expert)) - set(hosts)
    ]
    assert len(result.dropped) == len(result.moves)
    assert result.layout.coverage == 1
    assert all(len(result.layout.held(rank)) <= 2 for rank in planned.ranks)


def test_by_rates_the_rank_with_the_fewest_tokens_takes_over() -> None:
    planned = stage(ranks=4, experts=4)
    rates = {0: 0.9, 1: 0.5, 2: 0.4, 3: 0.2}
    result = rehost(planned, lost=frozenset({1}), room=ROOM, rates=rates)
    assert result.moves == (Move(expert=1, from_rank=1, to_rank=3),)


def test_no_survivor_loses_everything_and_says_so() -> None:
    before = stage(ranks=4, experts=4)
    result = rehost(before, lost=frozenset(before.ranks), room=ROOM)
    assert result.lost_experts == tuple(before.experts)
    assert result.layout.coverage == 0


def test_ranks_of_other_stages_change_nothing() -> None:
    before = stage()
    assert rehost(before, lost=frozenset({1000}), room=ROOM).layout == before


@st.composite
def losses(draw: st.DrawFn) -> tuple[StageLayout, list[frozenset[int]], Room]:
    layout = draw(any_stage())
    times = draw(st.lists(st.frozensets(st.sampled_from(layout.ranks)), max_size=4))
    room = Room(lanes_per_rank=draw(st.integers(1, 4)), experts_per_rank=draw(st.one_of(st.none(), st.integers(2, 8))))
    return layout, times, room


@settings(max_examples=150, deadline=None)
@given(losses())
def test_every_expert_is_hosted_unless_there_is_no_room_and_only_what_must_moves(
    given_losses: tuple[StageLayout, list[frozenset[int]], Room],
) -> None:
    layout, times, room = given_losses
    for lost in times:
        result = rehost(layout, lost=lost, room=room)
        after = result.layout
        alive = [rank for rank in after.ranks if rank not in after.masked]
        loads = Counter(copy.rank for copy in after.copies)
        lanes = Counter(lane.rank for lane in after.lanes if lane.rank is not None)
        assert not {c.rank for c in after.copies} & set(after.masked)
        assert len({(c.expert, c.rank) for c in after.copies}) == len(after.copies)
        assert all(count <= room.lanes_per_rank for count in lanes.values())
        for expert in after.experts:
            if not after.hosts(expert):
                assert expert in result.lost_experts
                assert all(loads[rank] >= (room.experts_per_rank or 0) for rank in alive)
                assert len(after.copies) == len({copy.expert for copy in after.copies}), "a copy could have made way"
        if result.homeless_lanes:
            assert all(lanes[rank] == room.lanes_per_rank for rank in alive)
        moved = {move.expert for move in result.moves}
        assert moved == {e for e in after.experts if set(after.hosts(e)) - set(layout.hosts(e))}
        assert all(set(layout.hosts(e)) <= set(after.masked) for e in moved)
        kept = [lane for lane in layout.lanes if lane.rank is not None and lane.rank not in after.masked]
        assert set(kept) <= set(after.lanes)
        layout = after


@settings(max_examples=150, deadline=None)
@given(losses())
def test_rehosting_again_changes_nothing(given_losses: tuple[StageLayout, list[frozenset[int]], Room]) -> None:
    layout, times, room = given_losses
    for lost in times:
        layout = rehost(layout, lost=lost, room=room).layout
        again = rehost(layout, lost=lost, room=room)
        assert again.layout == layout
        assert again.moves == ()
        assert again.lane_moves == ()
