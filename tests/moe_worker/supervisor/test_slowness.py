"""When a rank counts as slow: exact figures and times."""

from collections.abc import Mapping

from moe_worker.supervisor.slowness import Slowness

EVEN = {0: 100, 1: 110, 2: 90, 3: 100}


def judged(slowness: Slowness, service_us: Mapping[int, int], start: int, end: int) -> list[int]:
    """The seconds at which the verdicts changed."""
    return [now for now in range(start, end) if slowness.judge(service_us, 5.0, float(now))]


def test_a_rank_is_slow_after_ten_seconds_above_the_factor_and_not_before() -> None:
    slowness = Slowness()
    assert judged(slowness, {**EVEN, 3: 800}, 0, 20) == [10]
    assert slowness.slow == {3: 8.0}


def test_below_the_factor_nobody_is_slow() -> None:
    slowness = Slowness()
    assert judged(slowness, {**EVEN, 3: 499}, 0, 60) == []


def test_a_short_slowness_counts_for_nothing() -> None:
    slowness = Slowness()
    for start in range(0, 60, 10):
        assert judged(slowness, {**EVEN, 3: 800}, start, start + 9) == []
        assert judged(slowness, EVEN, start + 9, start + 10) == []


def test_a_slow_rank_is_well_again_at_half_the_factor() -> None:
    slowness = Slowness()
    judged(slowness, {**EVEN, 3: 800}, 0, 20)
    assert judged(slowness, {**EVEN, 3: 251}, 20, 40) == []
    assert judged(slowness, {**EVEN, 3: 250}, 40, 60) == [40]
    assert slowness.slow == {}


def test_a_verdict_outlives_a_gap_in_the_figures_but_not_their_end() -> None:
    slowness = Slowness()
    judged(slowness, {**EVEN, 3: 800}, 0, 20)
    assert judged(slowness, {**EVEN, 3: 0}, 20, 60) == [49]


def test_among_too_few_nobody_is_slow_and_with_limit_zero_never() -> None:
    slowness = Slowness()
    assert judged(slowness, {0: 100, 3: 800}, 0, 60) == []
    assert not any(slowness.judge({**EVEN, 3: 800}, 0.0, float(now)) for now in range(60))


def test_two_slow_ranks_of_a_stage_are_both_found() -> None:
    slowness = Slowness()
    figures = dict.fromkeys(range(6), 100) | {4: 700, 5: 900}
    judged(slowness, figures, 0, 20)
    assert slowness.slow == {4: 7.0, 5: 9.0}
