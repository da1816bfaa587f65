from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from moe_gateway.router import HeadKey, HeadLoad, choose


def load(rank: int, outstanding: int = 0, lanes: int = 1, replica: int = 0) -> HeadLoad:
    return HeadLoad(key=HeadKey(replica=replica, rank=rank, pod_uid="p"), num_lanes=lanes, num_outstanding=outstanding)


def test_nobody_there_is_no_choice() -> None:
    assert choose([]) is None


def test_the_least_loaded_wins_across_replicas() -> None:
    loads = [load(0, 3), load(1, 2), load(0, 1, replica=1)]
    assert choose(loads) == loads[2].key


def test_a_head_of_two_lanes_takes_twice_as_much() -> None:
    loads = [load(0, 2, lanes=2), load(1, 2)]
    assert choose(loads) == loads[0].key


def test_who_returned_it_is_avoided_unless_nobody_else_is_there() -> None:
    loads = [load(0, 0), load(1, 9)]
    assert choose(loads, avoid=loads[0].key) == loads[1].key
    assert choose(loads[:1], avoid=loads[0].key) == loads[0].key


def test_gateways_begin_at_different_lanes() -> None:
    loads = [load(rank) for rank in range(4)]
    assert {choose(loads, first=first) for first in range(4)} == {entry.key for entry in loads}


@settings(deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=8), st.integers(0, 60), st.integers(0, 100))
def test_requests_spread_evenly_over_lanes(lanes: list[int], num_requests: int, first: int) -> None:
    placed: Counter[HeadKey] = Counter()
    for _ in range(num_requests):
        loads = [load(r, placed[load(r).key], num) for r, num in enumerate(lanes)]
        key = choose(loads, first=first)
        assert key is not None
        placed[key] += 1
    per_lane = [placed[load(rank).key] / num for rank, num in enumerate(lanes)]
    assert max(per_lane) - min(per_lane) <= 1
