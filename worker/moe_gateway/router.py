"""Which lane's head takes a request: the one with the least outstanding per lane. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, order=True)
class HeadKey:
    """One process that heads lanes: a seat of the first stage of a replica, and the pod that holds it."""

    replica: int
    rank: int
    pod_uid: str


@dataclass(frozen=True, kw_only=True)
class HeadLoad:
    """What the choice needs to know of one connected head."""

    key: HeadKey
    num_lanes: int
    num_outstanding: int


def choose(loads: Sequence[HeadLoad], *, avoid: HeadKey | None = None, first: int = 0) -> HeadKey | None:
    """The head for the next request, or None when there is none.

    `avoid` (it has just returned the request) is taken only if it is the only one. `first` says where among equals the
    choice begins, so that several gateways do not all begin with the same lane.
    """
    if not loads:
        return None
    candidates = [load for load in loads if load.key != avoid] or list(loads)
    num = len(candidates)
    rotated = (candidates[(first + index) % num] for index in range(num))
    return min(rotated, key=lambda load: load.num_outstanding / max(1, load.num_lanes)).key
