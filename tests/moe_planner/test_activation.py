from __future__ import annotations

from itertools import product

import pytest

from moe_planner.activation import busiest_over_mean, most_activated


def test_whole_experts_make_the_busiest_seat() -> None:
    assert busiest_over_mean(experts=16, seats=16, hottest=1 / 16, chosen=1) == 1.0
    assert busiest_over_mean(experts=60, seats=8, hottest=4 / 60, chosen=4) == pytest.approx(8 / 7.5)


def test_one_hot_expert_makes_the_busiest_seat() -> None:
    """The first of 16 under Zipf 1 gets 1/3.3807 of the rows, 4.73 times the mean."""
    hottest = 1 / sum(1 / rank for rank in range(1, 17))
    assert busiest_over_mean(experts=16, seats=16, hottest=hottest, chosen=1) == pytest.approx(4.733, abs=1e-3)


@pytest.mark.parametrize(("held", "seats", "share"), [(2, 1, 0.5), (2, 3, 0.3), (3, 2, 0.7)])
def test_the_most_awake_is_the_mean_over_all_cases(held: int, seats: int, share: float) -> None:
    mean = 0.0
    for awake in product((0, 1), repeat=held * seats):
        chance = share ** sum(awake) * (1 - share) ** (held * seats - sum(awake))
        mean += chance * max(sum(awake[seat * held : (seat + 1) * held]) for seat in range(seats))
    assert most_activated(held, seats, share) == pytest.approx(max(1.0, mean))


def test_at_least_one_expert_is_awake_and_at_most_all() -> None:
    assert most_activated(1, 16, 0.001) == 1.0
    assert most_activated(8, 4, 1.0) == 8.0
    assert most_activated(1000, 4, 1.0) == 1000.0


def test_the_exact_sum_and_its_approximation_meet() -> None:
    assert most_activated(257, 8, 0.3) == pytest.approx(most_activated(256, 8, 0.3), rel=0.1)
