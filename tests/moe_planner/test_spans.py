from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from moe_planner.sizes import layers_of_stages
from moe_planner.spans import nearest_spans


def test_nothing_changes_where_nothing_has_to() -> None:
    assert nearest_spans([(layer, 1) for layer in range(16)], 16, 16) == (1,) * 16


def test_new_layers_go_to_the_last_stages_so_that_the_others_keep_theirs() -> None:
    # Cut from the front, layers 1 to 15 would all change their stage; this way 15 of 16 stay.
    assert nearest_spans([(layer, 1) for layer in range(16)], 18, 16) == (*(1,) * 14, 2, 2)


def test_half_the_stages_take_two_old_ones_each() -> None:
    assert nearest_spans([(layer, 1) for layer in range(16)], 16, 8) == (2,) * 8


def test_without_a_layout_before_the_first_stages_take_what_remains() -> None:
    assert nearest_spans([], 5, 2) == (3, 2)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30))
def test_spans_are_even_and_add_up(layers: int, stages: int, before: int) -> None:
    stages, before = min(stages, layers), min(before, layers)
    firsts = [(sum(layers_of_stages(layers, before)[:i]), n) for i, n in enumerate(layers_of_stages(layers, before))]
    spans = nearest_spans(firsts, layers, stages)
    assert (sum(spans), len(spans)) == (layers, stages)
    assert max(spans) - min(spans) <= 1
    if stages == before:
        assert spans == layers_of_stages(layers, stages)
