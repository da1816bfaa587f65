"""When a restart is told."""

from __future__ import annotations

from moe_api.names import Reason
from moe_api.stage import RankStatus
from moe_operator.decide.actions import Event
from moe_operator.status.restarts import restart_events


def rank(incarnation: int, uid: str = "p0") -> RankStatus:
    return RankStatus(rank=3, pod_uid=uid, node="node-0", gpu=1, incarnation=incarnation)


def test_a_grown_incarnation_in_the_same_pod_is_a_restart() -> None:
    message = "rank 3 (node-0 gpu 1): its process was started again, incarnation 5"

    assert restart_events([rank(4)], [rank(5)]) == [
        Event(reason=Reason.RANK_RESTARTED, message=message, is_warning=True)
    ]


def test_a_first_start_another_pod_and_no_change_are_none() -> None:
    assert restart_events([], [rank(1)]) == []
    assert restart_events([rank(0)], [rank(1)]) == []
    assert restart_events([rank(4)], [rank(4)]) == []
    assert restart_events([rank(4)], [rank(65, uid="p1")]) == []
