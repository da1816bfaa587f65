import random
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.chaos.faults import KINDS, Scene
from demo.observe import Seat

SEATS = [
    Seat(stage=f"s{rank // 4}", rank=rank, pod=f"p{rank // 2}", node=f"node-0{rank // 2}", gpu=rank % 2,
         incarnation=1, experts=(rank,), lanes=(rank % 4,))
    for rank in range(8)
]  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_strike_says_whom_it_takes_and_takes_no_more_than_a_pod_or_two_ranks_of_a_stage(name: str) -> None:
    nothing: Any = SimpleNamespace(kill_operator=None, kill_api_server=None)
    for seed in range(20):
        strike = KINDS[name][1](
            Scene(deployed=nothing, hand=nothing, means=nothing, dice=random.Random(seed), gateway_node="node-03"),
            SEATS,
        )
        assert strike.words
        assert len(strike.taken) <= 2
        assert len({seat.stage for seat in strike.taken}) <= 1


def test_the_same_seed_strikes_the_same() -> None:
    nothing: Any = SimpleNamespace(kill_operator=None, kill_api_server=None)

    def words() -> list[str]:
        scene = Scene(deployed=nothing, hand=nothing, means=nothing, dice=random.Random(7), gateway_node="")
        return [kind(scene, SEATS).words for _, kind in KINDS.values()]

    assert words() == words()


@pytest.mark.parametrize("name", ["power", "cut-from-peers", "cut-from-api"])
def test_the_gateways_node_is_never_taken(name: str) -> None:
    nothing: Any = SimpleNamespace(kill_operator=None, kill_api_server=None)
    for seed in range(40):
        scene = Scene(deployed=nothing, hand=nothing, means=nothing, dice=random.Random(seed), gateway_node="node-01")
        assert {seat.node for seat in KINDS[name][1](scene, SEATS).taken} != {"node-01"}
