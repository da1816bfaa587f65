"""Who is slow by the word of those who wait."""

from __future__ import annotations

from moe_api.names import Reason
from moe_operator.decide.leaving import Leaving
from moe_operator.decide.slow import find_slow
from moe_operator.snapshot import Pod
from tests.moe_operator.evidence import pod, seat, seats_of, stage_of


def pods_saying(*slow: dict[int, float]) -> list[Pod]:
    """Pods of two ranks, each with the ranks that it calls slow."""
    return [pod(n, [seat(2 * n, 0), seat(2 * n + 1, 1)], slow=said) for n, said in enumerate(slow)]


def test_most_of_the_pods_decide() -> None:
    stage = stage_of(3, 2)

    assert find_slow(seats_of(stage, pods_saying({3: 12}, {}, {}))) == {}
    assert find_slow(seats_of(stage, pods_saying({3: 12}, {}, {3: 12}))) == {
        3: Leaving(
            rank=3,
            reason=Reason.GPU_SLOW,
            message="it takes 8.0 times as long as its stage's median, say 2 of 3 pods",
            node="node-1",
            gpu=1,
        )
    }


def test_nobody_is_slow_where_the_factor_is_0() -> None:
    stage = stage_of(2, 2, failover={"slowFactor": 0})

    assert find_slow(seats_of(stage, pods_saying({3: 12}, {3: 12}))) == {}
