from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_planner.copies import least_copies, missing, restored, wanted_copies, with_loading
from moe_planner.errors import PlanError
from moe_planner.home import home, is_home
from moe_planner.inputs import Constraints
from moe_planner.layout import Copy
from moe_planner.moves import Move, Room
from moe_planner.rehost import rehost
from tests.moe_planner.stages import Case, cases, on_nodes, placed, shaped

ROOM = Room(lanes_per_rank=3)


def test_spare_copies_go_to_whichever_is_hottest_by_then() -> None:
    rates = {0: 0.9, 1: 0.4, 2: 0.35, 3: 0.35}
    # 0.9 -> 0.45 each, still the hottest -> 0.3 each, then 0.4 of expert 1.
    assert wanted_copies(range(4), 4, Constraints(spare_copies=3), rates) == {0: 3, 1: 2, 2: 1, 3: 1}


def test_no_expert_gets_more_copies_than_ranks() -> None:
    assert wanted_copies(range(2), 2, Constraints(spare_copies=9), {0: 1.0, 1: 0.0}) == {0: 2, 1: 2}


def test_named_experts_get_the_copies_that_were_asked_for() -> None:
    asked = Constraints(copies=2, copies_of=((1, 3), (2, 1)))
    assert wanted_copies(range(3), 4, asked, dict.fromkeys(range(3), 0.5)) == {0: 2, 1: 3, 2: 1}


def test_a_loss_to_survive_makes_it_two_at_least() -> None:
    asked = Constraints(copies_of=((1, 1),), survive="gpu")
    assert least_copies(asked) == 2
    assert wanted_copies(range(2), 4, asked, dict.fromkeys(range(2), 0.5)) == {0: 2, 1: 2}


def test_more_copies_than_ranks_are_refused() -> None:
    with pytest.raises(PlanError, match="its stage has 2; use at most 2"):
        wanted_copies(range(2), 2, Constraints(copies_of=((1, 3),)), dict.fromkeys(range(2), 0.5))


def test_a_lost_copy_is_made_again_on_another_node_than_the_one_that_is_left() -> None:
    planned = placed(shaped(experts=8), on_nodes(2, 4), ranks=8, constraints=Constraints(copies=2)).stages[0]
    assert planned.hosts(1) == (1, 5)
    damaged = rehost(planned, lost=frozenset({5}), room=ROOM).layout
    assert missing(damaged, planned, ROOM) == (
        Move(expert=1, from_rank=5, to_rank=4),
        Move(expert=5, from_rank=5, to_rank=6),
    )


def test_nothing_is_made_again_where_nobody_has_room() -> None:
    planned = placed(shaped(experts=8), on_nodes(2, 4), ranks=8, constraints=Constraints(copies=2)).stages[0]
    damaged = rehost(planned, lost=frozenset({5}), room=ROOM).layout
    assert missing(damaged, planned, Room(lanes_per_rank=3, experts_per_rank=2)) == ()


def test_the_hottest_of_the_most_urgent_comes_first() -> None:
    planned = placed(shaped(experts=4), on_nodes(3, 2), ranks=4, constraints=Constraints(copies=3)).stages[0]
    kept = tuple(c for c in planned.copies if c.expert == 0 or c.rank == planned.hosts(c.expert)[0])
    kept = tuple(c for c in kept if (c.expert, c.rank) != (0, planned.hosts(0)[2]))
    damaged = replace(planned, copies=kept)
    moves = missing(damaged, planned, ROOM, rates={0: 0.9, 1: 0.1, 2: 0.5, 3: 0.2})
    assert [move.expert for move in moves] == [2, 2, 3, 3, 1, 1, 0]


def test_a_copy_goes_to_another_rack_where_there_is_one() -> None:
    planned = placed(shaped(experts=6), on_nodes(3, 2), ranks=6, constraints=Constraints(copies=2)).stages[0]
    damaged = rehost(planned, lost=frozenset({2}), room=ROOM).layout
    assert planned.hosts(0) == (0, 2)
    racks = {"node-0": "a", "node-1": "a", "node-2": "b"}
    moves = {move.expert: move.to_rank for move in missing(damaged, planned, ROOM, racks=racks)}
    assert moves[0] in (4, 5)


def test_what_is_made_again_serves_until_the_planned_host_is_back() -> None:
    planned = placed(shaped(experts=8), on_nodes(2, 4), ranks=8, constraints=Constraints(copies=2)).stages[0]
    damaged = rehost(planned, lost=frozenset({5}), room=ROOM).layout
    alive = frozenset(planned.ranks) - {5}
    healing = with_loading(damaged, missing(damaged, planned, ROOM))
    assert (healing.hosts(1), healing.loading(1)) == ((1,), (4,))
    assert home(healing, planned, available=alive) == healing
    assert missing(healing, planned, ROOM) == ()
    healed = home(healing, planned, available=alive, loaded=frozenset({(1, 4), (5, 6)}))
    assert (healed.hosts(1), healed.hosts(5), healed.coverage) == ((1, 4), (1, 6), 2)
    back = home(healed, planned, available=frozenset(planned.ranks))
    assert (back.hosts(1), back.loading(1)) == ((1, 4), (5,))
    assert is_home(home(back, planned, available=frozenset(planned.ranks), loaded=frozenset({(1, 5), (5, 5)})), planned)


def test_copies_are_made_again_a_few_at_a_time() -> None:
    planned = placed(shaped(experts=8), on_nodes(2, 4), ranks=8, constraints=Constraints(copies=2)).stages[0]
    damaged = rehost(planned, lost=frozenset({5}), room=ROOM).layout
    alive = frozenset(planned.ranks) - {5}
    first = restored(damaged, planned, ROOM, usable=alive, at_once=1)
    assert [(c.expert, c.rank) for c in first.copies if c.state == "loading"] == [(1, 4)]
    assert restored(first, planned, ROOM, usable=alive, at_once=1) is first
    loaded = home(first, planned, available=alive, loaded=frozenset({(1, 4)}))
    second = restored(loaded, planned, ROOM, usable=alive, at_once=1)
    assert (second.hosts(1), second.hosts(5), second.loading(5)) == ((1, 4), (1,), (6,))


def test_no_copy_waits_for_one_that_could_not_be_loaded_yet() -> None:
    planned = placed(shaped(experts=8), on_nodes(2, 4), ranks=8, constraints=Constraints(copies=2)).stages[0]
    damaged = rehost(planned, lost=frozenset({5}), room=ROOM).layout
    alive = frozenset(planned.ranks) - {5}
    first = restored(damaged, planned, ROOM, usable=alive, at_once=1)
    second = restored(first, planned, ROOM, usable=alive, at_once=1, failing=frozenset({(1, 4)}))
    assert [(c.expert, c.rank) for c in second.copies if c.state == "loading"] == [(1, 4), (5, 6)]


def test_a_copy_on_a_rank_that_is_not_to_host_counts_as_missing_and_stays_until_then() -> None:
    planned = placed(shaped(experts=8), on_nodes(2, 4), ranks=8, constraints=Constraints(copies=2)).stages[0]
    usable = frozenset(planned.ranks) - {5}
    moves = missing(planned, planned, ROOM, usable=usable)
    assert moves == (Move(expert=1, from_rank=5, to_rank=4), Move(expert=5, from_rank=5, to_rank=6))
    loading = with_loading(planned, moves)
    assert (loading.hosts(1), loading.loading(1)) == ((1, 5), (4,))


def test_nothing_to_load_is_the_same_stage() -> None:
    stage = placed(shaped(experts=8), on_nodes(2, 4), ranks=8).stages[0]
    assert with_loading(stage, ()) is stage


@settings(max_examples=80, deadline=None)
@given(cases(copies=(2, 3)), st.data())
def test_as_many_copies_as_planned_are_there_again_as_far_as_there_are_ranks_and_room(
    case: Case, data: st.DataObject
) -> None:
    planned = case.stage
    lost = data.draw(st.frozensets(st.sampled_from(planned.ranks), max_size=len(planned.ranks) - 1))
    limit = data.draw(st.one_of(st.none(), st.integers(1, 12)))
    room = Room(lanes_per_rank=9, experts_per_rank=limit)
    damaged = rehost(planned, lost=lost, room=room).layout
    healing = with_loading(damaged, missing(damaged, planned, room))
    alive = [rank for rank in planned.ranks if rank not in lost]
    for expert in planned.experts:
        ranks = [copy.rank for copy in healing.copies_of(expert)]
        assert len(set(ranks)) == len(ranks)
        assert not set(ranks) & lost
        if ranks and len(ranks) < len(planned.hosts(expert)):
            others = [rank for rank in alive if rank not in ranks]
            assert all(limit is not None and len(healing.held(rank)) >= limit for rank in others)
    grown = [rank for rank in alive if len(healing.held(rank)) > len(damaged.held(rank))]
    assert all(limit is None or len(healing.held(rank)) <= limit for rank in grown)
    assert missing(healing, planned, room) == ()
    loaded = frozenset((c.expert, c.rank) for c in healing.copies if c.state == "loading")
    healed = home(healing, planned, available=frozenset(alive), loaded=loaded, room=room)
    assert {(c.expert, c.rank) for c in healed.copies} == {(c.expert, c.rank) for c in healing.copies}
    assert all(copy == Copy(expert=copy.expert, rank=copy.rank) for copy in healed.copies)
