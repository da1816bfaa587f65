"""Which ranks a person's word empties."""

from __future__ import annotations

import pytest

from moe_operator.api import Json
from moe_operator.decide.leaving import find_leaving
from moe_operator.snapshot import Pod
from tests.moe_operator.evidence import pod, seat, seats_of, stage_of

UUID = "GPU-5b2e0f6c-0000-4000-8000-00000000000"


def pods() -> list[Pod]:
    """Two pods of two GPUs; the first one's are the third and fourth GPU of its node."""
    return [
        pod(0, [seat(0, 0, device=f"{UUID}2"), seat(1, 1, device=f"{UUID}3")]),
        pod(1, [seat(2, 0, device=f"{UUID}0"), seat(3, 1)]),
    ]


@pytest.mark.parametrize(
    ("place", "ranks"),
    [
        ({"node": "node-0"}, [0, 1]),
        ({"node": "node-0", "gpu": 1}, [1]),
        ({"node": "node-0", "uuid": f"{UUID}3"}, [1]),
        ({"node": "node-0", "uuid": f"{UUID}0"}, []),
        ({"node": "node-0", "gpu": 0, "uuid": f"{UUID}3"}, []),
        ({"node": "node-1", "uuid": f"{UUID}0"}, [2]),
        ({"node": "node-9"}, []),
    ],
)
def test_a_place_is_a_node_or_a_gpu_by_its_index_in_its_pod_or_by_its_own_name(place: Json, ranks: list[int]) -> None:
    leaving = find_leaving(seats_of(stage_of(2, 2, failover={"evacuate": [place]}), pods()))

    assert list(leaving) == ranks
    assert {one.message for one in leaving.values()} <= {"failover.evacuate names it"}
