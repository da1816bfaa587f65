from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from moe_planner.filling import deal, fill
from moe_planner.packing import Packing, Spot, Weight


def spots(pods: int, gpus: int) -> tuple[Spot, ...]:
    return tuple(Spot(rank=rank, pod=f"pod {rank // gpus}", rack="") for rank in range(pods * gpus))


def weights(loads: list[float]) -> dict[int, Weight]:
    return {expert: Weight(prefill=load, decode=load) for expert, load in enumerate(loads)}


def test_the_heaviest_goes_first_and_the_rest_fills_up() -> None:
    packing = Packing(spots(1, 2), weights([1, 5, 3, 1]), most_held=3)
    fill(packing, dict.fromkeys(range(4), 1))
    assert packing.hosts == {0: [1], 1: [0], 2: [1], 3: [1]}
    assert packing.costs == {0: 5.0, 1: 5.0}


def test_copies_go_to_different_pods_before_they_go_to_light_ranks() -> None:
    packing = Packing(spots(2, 2), weights([1, 9, 9]), most_held=2)
    packing.add(1, 2)
    packing.add(2, 3)
    fill(packing, {0: 2, 1: 1, 2: 1})
    assert packing.hosts[0] == [0, 2]


def test_where_only_a_host_of_the_expert_has_room_another_makes_way() -> None:
    packing = Packing(spots(1, 2), weights([1, 1, 1]), most_held=2)
    for expert, rank in ((0, 0), (1, 1), (2, 1)):
        packing.add(expert, rank)
    fill(packing, {0: 2, 1: 1, 2: 1})
    assert sorted(packing.hosts[0]) == [0, 1]
    assert {rank: len(held) for rank, held in packing.held.items()} == {0: 2, 1: 2}


def test_copies_that_were_left_in_one_pod_are_parted() -> None:
    packing = Packing(spots(2, 2), weights([1, 1, 1]), most_held=1)
    for expert, rank in ((0, 0), (0, 1), (1, 2), (2, 3)):
        packing.add(expert, rank)
    assert packing.is_concentrated(0)
    fill(packing, {0: 2, 1: 1, 2: 1})
    assert not packing.is_concentrated(0)
    assert all(len(held) == 1 for held in packing.held.values())


@given(st.integers(1, 4), st.integers(1, 4), st.lists(st.integers(1, 16), min_size=1, max_size=12))
def test_dealt_copies_are_apart_and_even(pods: int, gpus: int, numbers: list[int]) -> None:
    ranks = pods * gpus
    wanted = {expert: min(number, ranks) for expert, number in enumerate(numbers)}
    hosts = deal(wanted, spots(pods, gpus))
    assert all(len(set(hosts[expert])) == number for expert, number in wanted.items())
    assert all(len({rank // gpus for rank in hosts[e]}) > 1 for e, number in wanted.items() if number > 1 and pods > 1)
    held = [sum(rank in given for given in hosts.values()) for rank in range(ranks)]
    assert max(held) <= -(-sum(wanted.values()) // ranks)
