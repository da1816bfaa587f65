"""Which lane's head takes a request: the one that most likely has its prompt's beginning in its cache, while that one
is not overloaded; else the one with the least outstanding per lane, in packs where that is asked for. Pure, so that
several gateways choose alike.
"""

import hashlib
import struct
from collections.abc import Sequence, Set
from dataclasses import dataclass

PREFIX_TOKENS = 64
"""So many tokens in common send two prompts to the same head; a shorter prompt is soon computed anywhere."""
MOST_AHEAD = 4
"""A head whose requests per lane are so many more than the least loaded's takes no more for the sake of its cache."""


@dataclass(frozen=True, kw_only=True, order=True)
class HeadKey:
    """One process that heads lanes: a seat of the first stage of a replica, and the pod that holds it."""

    replica: int
    rank: int
    pod_uid: str


@dataclass(frozen=True, kw_only=True)
class HeadLoad:
    """What the choice needs to know of one connected head: how many of its lanes take new requests, and its load."""

    key: HeadKey
    num_lanes: int
    num_outstanding: int

    @property
    def per_lane(self) -> float:
        return self.num_outstanding / max(1, self.num_lanes)


def prefix_of(prompt: Sequence[int]) -> bytes | None:
    """What two prompts with the same beginning have in common; None for a short one."""
    if len(prompt) < PREFIX_TOKENS:
        return None
    return hashlib.blake2b(struct.pack(f"<{PREFIX_TOKENS}I", *prompt[:PREFIX_TOKENS]), digest_size=16).digest()


def choose(
    loads: Sequence[HeadLoad],
    *,
    avoid: Set[HeadKey] = frozenset(),
    first: int = 0,
    prefix: bytes | None = None,
    streams_per_lane: int = 1,
) -> HeadKey | None:
    """The head for the next request, or None when there is none.

    A head whose lanes are all about to move is taken only if there is no other, and those of `avoid` (they have just
    returned the request) only then. `first` says where among equals the choice begins, so that several gateways do not
    all begin with the same lane. A `prefix` ranks the heads in an order of its own, in which the loss of one moves no
    other (rendezvous hashing). Without one a lane that has been opened gets `streams_per_lane` before the next, in the
    replica that has least to do.
    """
    if not loads:
        return None
    willing = [load for load in loads if load.key not in avoid] or list(loads)
    candidates = [load for load in willing if load.num_lanes] or willing
    if prefix is not None:
        most = min(load.per_lane for load in candidates) + MOST_AHEAD
        return max((load.key for load in candidates if load.per_lane <= most), key=lambda key: _affinity(prefix, key))
    num = len(candidates)
    rotated = [candidates[(first + index) % num] for index in range(num)]
    if streams_per_lane > 1:
        replicas = dict.fromkeys(load.key.replica for load in rotated)
        replica = min(replicas, key=lambda replica: _per_lane(rotated, replica))
        inside = [load for load in rotated if load.key.replica == replica]
        return min(inside, key=lambda load: (load.per_lane // streams_per_lane, -load.per_lane)).key
    return min(rotated, key=lambda load: load.per_lane).key


def _per_lane(loads: Sequence[HeadLoad], replica: int) -> float:
    of_replica = [load for load in loads if load.key.replica == replica]
    return sum(load.num_outstanding for load in of_replica) / max(1, sum(load.num_lanes for load in of_replica))


def _affinity(prefix: bytes, key: HeadKey) -> bytes:
    # Without the pod: a seat that another pod has taken over keeps its place in every order.
    return hashlib.blake2b(struct.pack("<II", key.replica, key.rank), key=prefix, digest_size=8).digest()
