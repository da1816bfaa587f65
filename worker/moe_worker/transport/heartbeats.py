"""Who is silent: which peers a rank watches, whom it asks for a sign of life, and since when who owes one.

Pure: times are handed in, sockets are elsewhere. Whatever a peer says is a sign of life. The ranks of a pod share the
ranks of the other pods out among them: together they watch all, each a few, and take turns, so that hundreds of ranks
on few cores ask next to nothing. Who gives no answer at once is a suspect, and then all of the pod ask.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from moe_worker.protocol.view import SeatView, View

TURN_S = 0.5
"""One rank of a pod after the other asks, so long after the one before."""
LEAST_EVERY_S = 1.0


class Heartbeats:
    """`service_us` is what the peers' last answers said of their speed, by rank."""

    def __init__(self) -> None:
        self.watched: Set[int] = frozenset()
        self.service_us: dict[int, int] = {}
        self._every_s = LEAST_EVERY_S
        self._turn_at = 0.0
        self._is_turn = False
        self._asked: dict[int, float] = {}

    def watch(self, share: "Share", now: float) -> None:
        """These peers and no others, when it is this rank's turn among its mates."""
        every_s = max(share.num_mates * TURN_S, LEAST_EVERY_S)
        if every_s != self._every_s or not self._turn_at:
            self._every_s, self._turn_at = every_s, now + share.place * TURN_S
        self.watched = share.peers
        self._asked = {peer: at for peer, at in self._asked.items() if peer in share.peers}
        self.service_us = {peer: figure for peer, figure in self.service_us.items() if peer in share.peers}

    def begin(self, now: float) -> None:
        """A beat begins."""
        self._is_turn = now >= self._turn_at
        if self._is_turn:
            self._turn_at = now + self._every_s

    @property
    def is_calm(self) -> bool:
        """Whether this beat brings no questions, and no earlier one is open."""
        return not (self._is_turn or self._asked)

    def ask_all(self) -> None:
        """A mate has a suspect: with the next beat it is this rank's turn."""
        self._turn_at = 0.001

    def must_ask(self, peer: int, *, has_spoken: bool, now: float) -> bool:
        """Once a beat: whether the connected peer is to be asked now. `has_spoken`: since the last beat."""
        if has_spoken:
            self._asked.pop(peer, None)
        if not self._is_turn or peer in self._asked:
            return False
        self._asked[peer] = now
        return True

    def told(self, peer: int, service_us: int) -> None:
        """The peer has answered."""
        self._asked.pop(peer, None)
        self.service_us[peer] = service_us

    def lost(self, peer: int) -> float | None:
        """The connection has ended: since when the peer owed a sign of life on it, None if it did not."""
        self.service_us.pop(peer, None)
        return self._asked.pop(peer, None)

    def forgive(self, seconds: float) -> None:
        """This rank itself slept for that long: no silence of the others."""
        for peer in self._asked:
            self._asked[peer] += seconds

    def silent(self, now: float) -> dict[int, float]:
        """Who owes a sign of life, and for how many seconds."""
        return {peer: now - asked for peer, asked in self._asked.items()}


@dataclass(frozen=True, kw_only=True)
class Share:
    """The peers that a rank watches, its place among the ranks of its pod that are in service, and their number."""

    peers: frozenset[int]
    place: int
    num_mates: int


def share_of(view: View, rank: int, pod_uid: str, wanted: Mapping[int, SeatView]) -> Share:
    """Of the wanted peers: this rank's share of the stage's other pods, and whom its lanes go on to."""
    seats = view.own.seats
    mates = sorted(seat.rank for seat in seats.values() if seat.pod_uid == pod_uid and seat.address is not None)
    place = mates.index(rank) if rank in mates else 0
    others: dict[str, list[int]] = {}
    for peer in sorted(wanted):
        if peer in seats and seats[peer].pod_uid != pod_uid:
            others.setdefault(seats[peer].pod_uid, []).append(peer)
    shares = {
        peer for ranks in others.values() for number, peer in enumerate(ranks)
        if rank in mates and number % len(mates) == place
    }  # fmt: skip
    peers = frozenset(shares | {peer for peer in wanted if peer not in seats})
    return Share(peers=peers, place=place, num_mates=len(mates))
