import pytest

from benchmarks.failover import stalls
from demo.streams import Prompt, Stream


def stream(*arrivals: float, finish: str = "") -> Stream:
    found = Stream(prompt=Prompt(text="", max_tokens=9), began=0.0, finish=finish)
    found.arrivals.extend(arrivals)
    return found


def test_a_gap_that_spans_the_kill_counts_and_one_before_it_does_not() -> None:
    assert stalls.longest_gap([1.0, 4.0, 5.0, 5.5], began=4.2, ended=10.0) == (4.0, 5.0)


def test_a_gap_that_begins_after_the_window_does_not_count() -> None:
    assert stalls.longest_gap([1.0, 1.5, 20.0], began=1.2, ended=1.4) == (1.0, 1.5)
    assert stalls.longest_gap([1.0, 1.5], began=2.0, ended=9.0) is None


def test_a_stream_is_through_when_it_has_a_later_token_or_has_ended() -> None:
    assert stalls.is_through(stream(1.0, 3.0), 2.0)
    assert not stalls.is_through(stream(1.0), 2.0)
    assert stalls.is_through(stream(1.0, finish="stop"), 2.0)


def test_a_wait_without_an_end_counts_until_now() -> None:
    assert stalls.arrivals_until(stream(1.0, 2.0), 9.0) == [1.0, 2.0, 9.0]
    assert stalls.arrivals_until(stream(1.0, 2.0, finish="stop"), 9.0) == [1.0, 2.0]


def test_tokens_are_counted_between_two_moments_and_in_spans() -> None:
    two = [stream(0.0, 1.0, 2.0), stream(1.9, 3.0)]
    assert stalls.num_tokens(two, 1.0, 3.0) == 3
    assert stalls.bins(two, 0.0, 1.0, 4) == [1, 2, 1, 1]


def test_the_waits_that_ended_in_a_span_are_all_there() -> None:
    assert stalls.inter_token_times([stream(0.0, 1.0, 3.0), stream(2.0, 2.5)], 1.0, 3.0) == [1.0, 0.5]


def test_each_window_has_the_longest_wait_of_each_stream() -> None:
    assert stalls.longest_per_window([stream(0.0, 1.0, 4.0, 4.5, 9.0)], 0.0, 8.0, 4.0) == [3.0, 4.5]


def test_silence_is_what_no_stream_broke() -> None:
    assert stalls.common_silence([stream(0.5, 6.0), stream(1.0, 7.0)], 0.0, 10.0) == (1.0, 6.0)
    assert stalls.common_silence([stream()], 0.0, 10.0) == (0.0, 10.0)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 3.0), (0.99, 4.0), (1.0, 4.0)])
def test_a_quantile_is_one_of_the_values(share: float, value: float) -> None:
    assert stalls.quantile([4.0, 1.0, 3.0, 2.0], share) == value


def test_a_spread_says_median_least_and_most() -> None:
    assert stalls.spread([0.1, 0.5, 0.2]) == "200 ms (100 to 500)"
    assert stalls.spread([]) == "-"
