"""Who falls silent by the word of those who should hear him."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from moe_operator.decide.silence import Silence, find_silence
from moe_operator.snapshot import Pod
from tests.moe_operator.evidence import NOW, pod, seat


def pods_saying(said: Mapping[int, Mapping[int, float]], num_pods: int) -> dict[int, Pod]:
    """Pods of one rank each; `said` are the ranks that each does not hear, and for how many seconds."""
    return {number: pod(number, [seat(number, 0)], unheard=said.get(number)) for number in range(num_pods)}


def silent(said: Mapping[int, Mapping[int, float]], num_pods: int, neighbours: tuple[Pod, ...] = ()) -> list[int]:
    return sorted(find_silence(pods_saying(said, num_pods), neighbours, NOW).since)


def neighbour(number: int, unheard: Mapping[int, float]) -> Pod:
    return pod(number, [seat(100 + number, 0)], unheard=unheard)


def test_nobody_is_silent_while_nobody_complains() -> None:
    assert find_silence(pods_saying({}, 8), (), NOW) == Silence(since={})


def test_most_of_the_others_decide() -> None:
    assert silent({0: {3: 5}, 1: {3: 5}}, 4) == [3]
    assert silent({0: {3: 5}}, 4) == []


def test_a_complaint_counts_after_two_seconds_and_is_looked_at_again_then() -> None:
    found = find_silence(pods_saying({0: {2: 1.5}, 1: {2: 1.5}}, 3), (), NOW)

    assert found == Silence(since={}, look_again=NOW + timedelta(seconds=0.5))


def test_a_pod_is_silent_only_when_none_of_its_serving_ranks_is_heard() -> None:
    accused = pod(1, [seat(2, 0), seat(3, 1), seat(4, 2, bad="XID 79")])
    deaf = pod(0, [seat(0, 0)], unheard={2: 5})
    assert find_silence({0: deaf, 1: accused}, (), NOW).since == {}

    deaf = pod(0, [seat(0, 0)], unheard={2: 5, 3: 4})
    assert find_silence({0: deaf, 1: accused}, (), NOW).since == {1: NOW - timedelta(seconds=4)}


def test_the_smaller_part_of_a_split_falls_silent() -> None:
    left, right = [0, 1, 2], [3, 4]
    said = {one: dict.fromkeys(right if one in left else left, 5.0) for one in range(5)}

    assert silent(said, 5) == right


def test_of_two_equal_halves_the_lower_node_ranks_stay() -> None:
    said = {0: {2: 5, 3: 5}, 1: {2: 5, 3: 5}, 2: {0: 5, 1: 5}, 3: {0: 5, 1: 5}}

    assert silent(said, 4) == [2, 3]
    assert silent({0: {1: 5}, 1: {0: 5}}, 2) == [1]


def test_of_two_equal_halves_the_one_that_the_neighbours_hear_stays() -> None:
    outside = (neighbour(0, {0: 5}), neighbour(1, {0: 5}))

    assert silent({0: {1: 5}, 1: {0: 5}}, 2, outside) == [0]


def test_who_was_left_stays_left_though_the_neighbours_have_nothing_to_say_of_him_any_more() -> None:
    pods = pods_saying({0: {1: 5}, 1: {0: 5}}, 2)
    assert list(find_silence(pods, (neighbour(0, {}),), NOW, known={0}).since) == [0]

    wrongly_left = find_silence(pods, (neighbour(0, {0: 5}),), NOW, known={1})
    assert list(wrongly_left.since) == [0]

    pods = pods_saying({0: {2: 5}}, 3)
    assert list(find_silence(pods, (neighbour(0, {}),), NOW, known={2}).since) == [2]
    assert list(find_silence(pods, (neighbour(0, {}),), NOW).since) == []


def test_half_of_the_votes_are_enough_only_where_the_neighbours_agree() -> None:
    said = {0: {2: 5}}

    assert silent(said, 3) == []
    assert silent(said, 3, (neighbour(0, {2: 5}), neighbour(1, {}))) == []
    assert silent(said, 3, (neighbour(0, {2: 5}), neighbour(1, {2: 5}))) == [2]


def test_who_does_not_serve_has_no_vote_and_is_not_accused() -> None:
    broken = pod(2, [seat(2, 0, bad="XID 79")], unheard={0: 5, 1: 5})
    pods = {0: pod(0, [seat(0, 0)], unheard={2: 5}), 1: pod(1, [seat(1, 0)], unheard={2: 5}), 2: broken}

    assert find_silence(pods, (), NOW).since == {}
