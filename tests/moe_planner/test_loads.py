from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_planner.errors import PlanError
from moe_planner.inputs import Loads
from moe_planner.loads import chosen_without_replacement, counted_rates, expert_rates, is_uniform, zipf_shares
from tests.moe_planner.stages import ZIPF, shaped


def test_uniform_loads_share_the_experts_per_token() -> None:
    rates = expert_rates(shaped(layers=2, experts=16), Loads())
    assert (len(rates), rates[0], rates[31]) == (32, 2 / 16, 2 / 16)
    assert is_uniform(rates)


def test_counts_of_some_layers_are_rates_of_these() -> None:
    assert counted_rates({4: 3, 5: 1, 6: 0, 7: 0}, experts=2, chosen=1) == {4: 0.75, 5: 0.25, 6: 0.5, 7: 0.5}


def test_zipf_shares_fall_as_one_over_the_rank() -> None:
    assert zipf_shares(3, 1) == pytest.approx((6 / 11, 3 / 11, 2 / 11))


def test_two_different_choices_are_counted_exactly() -> None:
    # Of shares 1/2, 1/4, 1/4 the first is missed only by the draws (2nd, 3rd) and (3rd, 2nd): 2 * 1/4 * (1/4 / 3/4).
    assert chosen_without_replacement((0.5, 0.25, 0.25), 2) == pytest.approx((5 / 6, 7 / 12, 7 / 12))


def test_the_hottest_of_sixteen_gets_what_the_recomputed_document_says() -> None:
    one = chosen_without_replacement(zipf_shares(16, 1), 1)
    two = chosen_without_replacement(zipf_shares(16, 1), 2)
    assert one[0] * 16 == pytest.approx(4.733, abs=1e-3)
    assert two[0] * 8 == pytest.approx(4.168, abs=1e-3)


def test_popularity_moves_on_by_one_expert_with_each_layer() -> None:
    rates = expert_rates(shaped(layers=3, experts=4), ZIPF)
    hottest = [max(range(4), key=lambda index: rates[4 * layer + index]) for layer in range(3)]
    assert hottest == [0, 1, 2]


def test_measured_counts_become_rates_and_none_is_above_one() -> None:
    loads = Loads(kind="measured", counts=((6, 1, 1, 0), (0, 0, 0, 0)))
    rates = expert_rates(shaped(layers=2, experts=4), loads)
    assert [rates[expert] for expert in range(4)] == [1.0, 0.5, 0.5, 0.0]
    assert [rates[expert] for expert in range(4, 8)] == [0.5] * 4


def test_counts_of_dense_layers_may_be_there_or_not() -> None:
    shape = shaped(layers=2, experts=4, dense=(0,))
    counts = (1.0, 1.0, 1.0, 1.0)
    short = expert_rates(shape, Loads(kind="measured", counts=(counts,)))
    assert short == expert_rates(shape, Loads(kind="measured", counts=((), counts)))
    assert set(short) == {4, 5, 6, 7}


def test_counts_of_another_model_are_refused() -> None:
    with pytest.raises(PlanError, match="has 2 layers of 4 experts") as caught:
        expert_rates(shaped(layers=2, experts=4), Loads(kind="measured", counts=((1, 2, 3),)))
    assert caught.value.field == "loads"


@given(st.integers(1, 64), st.integers(1, 64), st.floats(0, 3))
def test_what_is_chosen_adds_up_to_the_experts_per_token(experts: int, chosen: int, exponent: float) -> None:
    chosen = min(chosen, experts)
    rates = chosen_without_replacement(zipf_shares(experts, exponent), chosen)
    assert sum(rates) == pytest.approx(chosen, rel=1e-6)
    assert all(0 <= rate <= 1 + 1e-9 for rate in rates)
    assert list(rates) == sorted(rates, reverse=True)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=20))
def test_measured_rates_add_up_too(counts: list[int]) -> None:
    shape = shaped(experts=len(counts))
    rates = expert_rates(shape, Loads(kind="measured", counts=(tuple(map(float, counts)),)))
    active = sum(1 for count in counts if count)
    assert sum(rates.values()) == pytest.approx(min(2, active) if active else 2)
    assert all(0 <= rate <= 1 for rate in rates.values())
