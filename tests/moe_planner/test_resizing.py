from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from moe_planner.inputs import Constraints
from moe_planner.layout import StageLayout
from moe_planner.loads import expert_rates
from moe_planner.moves import moves_between
from moe_planner.resizing import resized
from tests.moe_planner.stages import Case, cases, on_nodes, placed, shaped

EVEN = dict.fromkeys(range(8), 0.25)


def with_constraints(constraints: Constraints) -> StageLayout:
    return placed(shaped(experts=8), on_nodes(2, 4), ranks=8, constraints=constraints).stages[0]


def test_even_copies_are_as_planned_on_the_way_up_and_down() -> None:
    one, two = with_constraints(Constraints()), with_constraints(Constraints(copies=2))
    assert resized(one, two, EVEN, batch=64) is two
    assert [(move.expert, move.to_rank) for move in moves_between(one, two)] == [
        (0, 4),
        (1, 5),
        (2, 6),
        (3, 7),
        (4, 0),
        (5, 1),
        (6, 2),
        (7, 3),
    ]
    assert resized(two, one, EVEN, batch=64) is one


def test_a_second_copy_of_one_expert_is_one_load_on_another_node() -> None:
    one, planned = with_constraints(Constraints()), with_constraints(Constraints(copies_of=((0, 2),)))
    assert len(moves_between(one, planned)) > 1
    found = resized(one, planned, EVEN, batch=64)
    assert [(move.expert, move.from_rank, move.to_rank) for move in moves_between(one, found)] == [(0, None, 4)]
    assert (found.hosts(0), found.hosts(4)) == ((0, 4), (4,))


def test_a_copy_that_is_no_longer_wanted_goes_without_a_load() -> None:
    one, planned = with_constraints(Constraints()), with_constraints(Constraints(copies_of=((0, 2),)))
    more = resized(one, planned, EVEN, batch=64)
    assert resized(more, one, EVEN, batch=64) is one


@settings(max_examples=60, deadline=None)
@given(cases(), st.data())
def test_nothing_moves_beyond_the_copies_that_are_added(case: Case, data: st.DataObject) -> None:
    current, ranks = case.stage, case.ranks
    number = data.draw(st.integers(1, min(3, ranks)))
    asked = Constraints(copies=number, spare_copies=data.draw(st.integers(0, 4)))
    planned = placed(case.shape, case.hardware, ranks=ranks, constraints=asked, loads=case.loads).stages[0]
    found = resized(current, planned, expert_rates(case.shape, case.loads), batch=128)
    added = 0
    for expert in planned.experts:
        hosts = found.hosts(expert)
        assert len(set(hosts)) == len(hosts) == len(planned.hosts(expert))
        added += max(0, len(hosts) - len(current.hosts(expert)))
    assert len(moves_between(current, found)) >= added
    assert len(moves_between(current, found)) <= len(moves_between(current, planned))
    assert (found.seats, found.lanes) == (current.seats, current.lanes)
