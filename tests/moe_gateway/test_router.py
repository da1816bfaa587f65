from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from moe_gateway.router import MOST_AHEAD, PREFIX_TOKENS, HeadKey, HeadLoad, choose, prefix_of


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
    assert choose(loads, avoid={loads[0].key}) == loads[1].key
    assert choose(loads[:1], avoid={loads[0].key}) == loads[0].key


def test_a_head_whose_lanes_are_about_to_move_is_taken_only_when_no_other_would() -> None:
    loads = [load(0, 0, lanes=0), load(1, 9), load(2, 9)]
    assert choose(loads) == loads[1].key
    assert choose(loads, avoid={loads[1].key}) == loads[2].key
    assert choose(loads, avoid={loads[1].key, loads[2].key}) == loads[0].key
    assert choose(loads[:1]) == loads[0].key
    assert choose(loads, prefix=prefix(1)) != loads[0].key


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


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(0, 60), st.integers(2, 5), st.integers(0, 100))
def test_no_lane_is_opened_before_those_that_are_have_their_pack(
    lanes: int, num_requests: int, pack: int, first: int
) -> None:
    placed: Counter[HeadKey] = Counter()
    for _ in range(num_requests):
        key = choose([load(r, placed[load(r).key]) for r in range(lanes)], first=first, streams_per_lane=pack)
        assert key is not None
        placed[key] += 1
    rounds, rest = divmod(num_requests, lanes * pack)
    full, begun = divmod(rest, pack)
    more = [pack] * full + [begun] + [0] * lanes
    assert sorted((placed[load(r).key] for r in range(lanes)), reverse=True) == [
        rounds * pack + more[r] for r in range(lanes)
    ]


def test_packs_begin_in_the_replica_that_has_less_to_do() -> None:
    loads = [load(0, 3), load(1), load(0, 2, replica=1), load(1, replica=1)]
    assert choose(loads, streams_per_lane=4) == loads[2].key
    assert choose(loads, streams_per_lane=2) == loads[3].key


def prefix(number: int) -> bytes:
    found = prefix_of([number] * PREFIX_TOKENS)
    assert found is not None
    return found


def test_prompts_that_begin_alike_have_one_prefix_and_short_ones_none() -> None:
    beginning = list(range(PREFIX_TOKENS))
    assert prefix_of(beginning) == prefix_of([*beginning, 7, 8])
    assert prefix_of(beginning) != prefix_of([1, *beginning])
    assert prefix_of(beginning[:-1]) is None


def test_one_prefix_goes_to_one_head_whichever_gateway_asks_and_prefixes_spread() -> None:
    loads = [load(rank) for rank in range(8)]
    chosen = {number: choose(loads, prefix=prefix(number)) for number in range(200)}
    assert chosen == {number: choose(loads[::-1], prefix=prefix(number), first=3) for number in range(200)}
    placed = Counter(chosen.values())
    assert len(placed) == 8
    assert max(placed.values()) < 3 * min(placed.values())


def test_a_head_that_goes_moves_its_own_prefixes_only() -> None:
    loads = [load(rank) for rank in range(8)]
    for number in range(100):
        before = choose(loads, prefix=prefix(number))
        after = choose(loads[1:], prefix=prefix(number))
        assert after == before or before == loads[0].key


def test_a_cache_is_worth_a_few_waiting_requests_and_no_more() -> None:
    loads = [load(0), load(1)]
    favourite = choose(loads, prefix=prefix(1))
    [other] = [entry.key for entry in loads if entry.key != favourite]

    def busy(outstanding: int) -> HeadKey | None:
        return choose(
            [load(key.rank, outstanding if key == favourite else 0) for key in (load(0).key, load(1).key)],
            prefix=prefix(1),
        )

    assert busy(MOST_AHEAD) == favourite
    assert busy(MOST_AHEAD + 1) == other


def test_a_prefix_avoids_who_has_just_returned_it() -> None:
    loads = [load(rank) for rank in range(4)]
    favourite = choose(loads, prefix=prefix(1))
    assert favourite is not None
    assert choose(loads, prefix=prefix(1), avoid={favourite}) != favourite


def test_a_seat_in_another_pod_keeps_its_prefixes() -> None:
    moved = [HeadLoad(key=HeadKey(replica=0, rank=r, pod_uid="new"), num_lanes=1, num_outstanding=0) for r in range(8)]
    for number in range(50):
        before, after = choose([load(r) for r in range(8)], prefix=prefix(number)), choose(moved, prefix=prefix(number))
        assert before is not None
        assert after is not None
        assert before.rank == after.rank
