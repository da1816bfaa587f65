"""GPUs that serve, but slowly: by the word of most of the pods that wait for them."""

from __future__ import annotations

from collections.abc import Mapping

from moe_api.names import Reason
from moe_api.report import SlowPeer
from moe_api.stage import RankSpec
from moe_operator.decide.leaving import Leaving
from moe_operator.decide.seats import Seats
from moe_operator.snapshot import Pod


def find_slow(seats: Seats) -> Mapping[int, Leaving]:
    """Every rank that most of the stage's pods with a word on others call slow; failover.slowFactor 0 calls none so.

    A pod's ranks are judged by its own ranks too: where the stage has one pod only, there is nobody else.
    """
    spec = seats.snapshot.stage.spec
    if not spec.failover.slow_factor:
        return {}
    pods = [pod for pod in seats.pods.values() if pod is not None and _serves(pod)]
    leaving = (_leaving(seat, seats.pod(seat), pods) for seat in spec.ranks)
    return {one.rank: one for one in leaving if one is not None}


def _leaving(seat: RankSpec, pod: Pod | None, pods: list[Pod]) -> Leaving | None:
    if pod is None or pod.node is None:
        return None
    said = [peer for voter in pods if (peer := _word(voter, seat.rank)) is not None]
    if len(said) * 2 <= len(pods):
        return None
    factor = sorted(peer.factor for peer in said)[len(said) // 2]
    message = f"it takes {factor:.1f} times as long as its stage's median, say {len(said)} of {len(pods)} pods"
    return Leaving(rank=seat.rank, reason=Reason.GPU_SLOW, message=message, node=pod.node, gpu=seat.gpu)


def _word(voter: Pod, rank: int) -> SlowPeer | None:
    return next((peer for peer in voter.report.slow if peer.rank == rank), None) if voter.report else None


def _serves(pod: Pod) -> bool:
    return pod.report is not None and any(seat.state == "serving" for seat in pod.report.seats)
