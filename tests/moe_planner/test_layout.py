from __future__ import annotations

from dataclasses import replace

from moe_planner.layout import Copy
from tests.moe_planner.stages import on_nodes, placed, shaped


def test_dense_layers_have_no_experts() -> None:
    stage = placed(shaped(layers=3, experts=4, dense=(0,)), on_nodes(1, 4), ranks=4).stages[0]
    assert (stage.num_layers, stage.dense_layers) == (3, (0,))
    assert tuple(stage.experts) == (4, 5, 6, 7, 8, 9, 10, 11)
    assert [stage.held(rank) for rank in stage.ranks] == [(4, 8), (5, 9), (6, 10), (7, 11)]


def test_a_stage_of_dense_layers_alone_hosts_nothing_and_lacks_nothing() -> None:
    layout = placed(shaped(layers=2, experts=4, dense=(0,)), on_nodes(2, 4), ranks=4, stages=2)
    assert (tuple(layout.stages[0].experts), layout.stages[0].copies, layout.stages[0].coverage) == ((), (), 1)
    assert tuple(layout.stages[1].experts) == (4, 5, 6, 7)
    assert len(layout.stages[0].lanes) == 4


def test_what_is_looked_up_is_what_the_copies_say_also_after_a_change() -> None:
    stage = placed(shaped(experts=4), on_nodes(1, 4), ranks=4).stages[0]
    assert (stage.hosts(1), stage.held(1), stage.lanes_at(1)) == ((1,), (1,), (1,))
    changed = replace(stage, copies=(*stage.copies, Copy(expert=1, rank=3, state="loading")))
    assert (changed.hosts(1), changed.loading(1), changed.held(3)) == ((1,), (3,), (3, 1))
    assert stage.held(3) == (3,)


def test_looking_something_up_does_not_change_what_a_layout_equals() -> None:
    one = placed(shaped(experts=4), on_nodes(1, 4), ranks=4)
    other = placed(shaped(experts=4), on_nodes(1, 4), ranks=4)
    assert one.stages[0].hosts(0) == (0,)
    assert one == other
    assert repr(one) == repr(other)
    assert hash(one) == hash(other)
