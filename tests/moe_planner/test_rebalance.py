from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_planner.balance import balance, worst_of_both
from moe_planner.copies import wanted_copies
from moe_planner.coverage import stage_coverage
from moe_planner.home import home, is_home
from moe_planner.inputs import Constraints, Loads
from moe_planner.layout import Copy
from moe_planner.loads import counted_rates, expert_rates
from moe_planner.moves import Move, Room
from moe_planner.rebalance import rebalance
from tests.moe_planner.stages import Case, cases, on_nodes, placed, shaped

SPEAKING = Path(__file__).parents[2] / "models" / "speaking"
ROOM = Room(lanes_per_rank=3, experts_per_rank=2)
SPEAKING_RATES = counted_rates(
    dict(enumerate(json.loads((SPEAKING / "loads.json").read_text())["counts"][0])), experts=16, chosen=2
)
HOT = {0: 0.9, 1: 0.8, 2: 0.2, 3: 0.1}


def test_two_hot_experts_of_one_gpu_are_parted_by_one_exchange() -> None:
    stage = placed(shaped(experts=4), on_nodes(1, 2), ranks=2).stages[0]
    found = rebalance(stage, HOT, batch=64, budget=2, room=ROOM)
    assert found.moves == (Move(expert=1, from_rank=0, to_rank=1), Move(expert=3, from_rank=1, to_rank=0))
    assert [found.layout.held(rank) for rank in stage.ranks] == [(0, 3), (1, 2)]


def test_the_budget_is_kept() -> None:
    stage = placed(shaped(experts=4), on_nodes(1, 2), ranks=2).stages[0]
    assert rebalance(stage, HOT, batch=64, budget=1, room=ROOM).moves == ()
    assert rebalance(stage, HOT, batch=64, budget=0, room=ROOM).layout == stage
    roomy = Room(lanes_per_rank=3, experts_per_rank=3)
    assert len(rebalance(stage, HOT, batch=64, budget=1, room=roomy).moves) == 1


def test_what_a_trained_model_was_counted_with_is_evened_out_by_spare_copies() -> None:
    rates, spare = SPEAKING_RATES, Constraints(spare_copies=4)
    stage = placed(shaped(), on_nodes(2, 8), ranks=16, constraints=spare).stages[0]
    wanted, least = (wanted_copies(stage.experts, 16, one, rates) for one in (spare, Constraints()))
    assert len(stage.copies) == 16, "without the counts no spare copy is worth its place"

    found = rebalance(stage, rates, batch=1, budget=4, room=ROOM, wanted=wanted, least=least)
    # Of 6656 choices of the mean expert, 18184 fell on expert 7 and 18004 on expert 6; 14 had 1040, 1 had 51.
    assert [(move.expert, move.to_rank) for move in found.moves] == [(6, 14), (7, 1), (11, 5)]
    assert worst_of_both(stage, rates, batch=1) == pytest.approx(18184 / 6656, abs=1e-3)
    assert worst_of_both(found.layout, rates, batch=1) == pytest.approx((1040 + 18004 / 2) / 6656, abs=1e-3)


def test_a_copy_that_costs_more_reads_than_it_relieves_is_not_made() -> None:
    """In a batch of 128 tokens every expert is read for each step, in half of its copies too: a rank with two has two
    reads where the mean has one. Experts 6 and 7 with 2.7 times the mean's tokens are worth that, the next are not.
    """
    rates, spare = SPEAKING_RATES, Constraints(spare_copies=4)
    stage = placed(shaped(), on_nodes(2, 8), ranks=16).stages[0]
    wanted, least = (wanted_copies(stage.experts, 16, one, rates) for one in (spare, Constraints()))
    found = rebalance(stage, rates, batch=128, budget=4, room=ROOM, wanted=wanted, least=least)
    assert {expert for expert in stage.experts if len(found.layout.hosts(expert)) > 1} == {6, 7}
    # After it the busiest is expert 11's rank, which has nothing else.
    assert balance(found.layout, rates, batch=128).prefill == pytest.approx(12986 / 6656, abs=1e-3)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=16, max_size=16), st.integers(0, 8), st.sampled_from([1, 8, 128]))
def test_no_spare_copy_makes_the_busiest_rank_busier(counts: list[int], spares: int, batch: int) -> None:
    rates = expert_rates(shaped(), Loads(kind="measured", counts=(tuple(counts),)))
    stage = placed(shaped(), on_nodes(2, 8), ranks=16).stages[0]
    wanted = wanted_copies(stage.experts, 16, Constraints(spare_copies=spares), rates)
    least = dict.fromkeys(stage.experts, 1)
    after = rebalance(stage, rates, batch=batch, budget=8, room=ROOM, wanted=wanted, least=least, hysteresis=0.0).layout
    assert worst_of_both(after, rates, batch=batch) <= worst_of_both(stage, rates, batch=batch)
    for copy in after.copies:
        if len(after.hosts(copy.expert)) > 1:
            without = replace(after, copies=tuple(one for one in after.copies if one != copy))
            assert worst_of_both(without, rates, batch=batch) > worst_of_both(after, rates, batch=batch)


def test_small_gains_move_nothing() -> None:
    stage = placed(shaped(experts=4), on_nodes(1, 2), ranks=2).stages[0]
    slight = {0: 0.52, 1: 0.52, 2: 0.48, 3: 0.48}
    assert rebalance(stage, slight, batch=64, budget=4, room=ROOM).layout is stage
    assert rebalance(stage, slight, batch=64, budget=4, room=ROOM, hysteresis=0.01).moves != ()


def test_what_cooled_down_makes_way_for_a_copy_of_what_is_hot() -> None:
    stage = placed(shaped(experts=4), on_nodes(3, 2), ranks=6, constraints=Constraints(copies_of=((3, 3),))).stages[0]
    rates = {0: 1.6, 1: 0.2, 2: 0.1, 3: 0.1}
    wanted = wanted_copies(stage.experts, 6, Constraints(spare_copies=2), rates)
    assert wanted == {0: 3, 1: 1, 2: 1, 3: 1}
    tight = Room(lanes_per_rank=3, experts_per_rank=1)
    found = rebalance(stage, rates, batch=64, budget=2, room=tight, wanted=wanted)
    assert {expert: len(found.layout.hosts(expert)) for expert in stage.experts} == wanted
    assert [(move.expert, move.from_rank) for move in found.moves] == [(0, None), (0, None)]
    assert [copy.expert for copy in found.dropped] == [3, 3]


def test_healing_comes_before_balance() -> None:
    stage = placed(shaped(experts=4), on_nodes(1, 2), ranks=2).stages[0]
    loading = replace(stage, copies=(*stage.copies, Copy(expert=0, rank=1, state="loading")))
    assert rebalance(loading, HOT, batch=64, budget=9, room=ROOM).layout is loading
    lost = replace(stage, copies=stage.copies[1:])
    assert rebalance(lost, HOT, batch=64, budget=9, room=ROOM).layout is lost


@settings(max_examples=120, deadline=None)
@given(cases(), st.data())
def test_rebalancing_gains_what_it_promises_keeps_the_rules_and_then_rests(case: Case, data: st.DataObject) -> None:
    stage = case.stage
    drawn = st.tuples(*[st.integers(0, 50)] * case.shape.experts)
    counts = data.draw(st.lists(drawn, min_size=case.shape.layers, max_size=case.shape.layers))
    rates = expert_rates(case.shape, Loads(kind="measured", counts=tuple(counts)))
    budget = data.draw(st.integers(0, 12))
    fullest = max(len(stage.held(rank)) for rank in stage.ranks)
    room = Room(lanes_per_rank=9, experts_per_rank=fullest + data.draw(st.integers(0, 1)))
    wanted = data.draw(st.one_of(st.none(), st.just(wanted_copies(stage.experts, case.ranks, case.constraints, rates))))
    found = rebalance(stage, rates, batch=64, budget=budget, room=room, wanted=wanted)
    after = found.layout
    gained = {(c.expert, c.rank) for c in after.copies} - {(c.expert, c.rank) for c in stage.copies}
    assert {(move.expert, move.to_rank) for move in found.moves} == gained
    assert len(found.moves) <= budget
    if after != stage:
        assert worst_of_both(after, rates, batch=64) <= 0.9 * worst_of_both(stage, rates, batch=64) + 1e-9
    assert all(len(after.held(rank)) <= (room.experts_per_rank or 0) for rank in after.ranks)
    assert len({(c.expert, c.rank) for c in after.copies}) == len(after.copies)
    kept = Counter(copy.expert for copy in after.copies)
    if wanted is None:
        assert kept == Counter(copy.expert for copy in stage.copies)
        assert stage_coverage(after).nodes_to_lose >= min(1, stage_coverage(stage).nodes_to_lose)
    assert min(kept.values()) >= 1


@settings(max_examples=60, deadline=None)
@given(cases(), st.data())
def test_the_operator_gets_there_by_loading_first(case: Case, data: st.DataObject) -> None:
    stage = case.stage
    drawn = st.tuples(*[st.integers(0, 50)] * case.shape.experts)
    counts = data.draw(st.lists(drawn, min_size=case.shape.layers, max_size=case.shape.layers))
    rates = expert_rates(case.shape, Loads(kind="measured", counts=tuple(counts)))
    target = rebalance(stage, rates, batch=64, budget=50, room=Room(lanes_per_rank=9)).layout
    alive = frozenset(stage.ranks)
    first = home(stage, target, available=alive)
    assert all(first.hosts(expert) for expert in stage.experts)
    loaded = frozenset((c.expert, c.rank) for c in first.copies if c.state == "loading")
    assert is_home(home(first, target, available=alive, loaded=loaded), target)
