"""Who is silent: which peers a rank watches, whom it asks for a sign of life, and since when who owes one.

Pure: times are handed in, sockets are elsewhere. Whatever a peer says is a sign of life, so only who is silent is
asked. The ranks of a pod share the ranks of the other pods out among them: together they watch all, each a few.
"""

from collections.abc import Mapping, Set

from moe_worker.protocol.view import SeatView, View

FIGURES_EVERY_S = 4.0
"""A peer that talks all the time is asked too, so seldom that it costs nothing: its answer says how fast it is."""


class Heartbeats:
    """`service_us` is what the peers' last answers said of their speed, by rank."""

    def __init__(self) -> None:
        self.watched: Set[int] = frozenset()
        self.service_us: dict[int, int] = {}
        self._asked: dict[int, float] = {}
        self._told: dict[int, float] = {}

    def watch(self, peers: Set[int]) -> None:
        """These and no others."""
        self.watched = peers
        self._asked = {peer: at for peer, at in self._asked.items() if peer in peers}
        self._told = {peer: at for peer, at in self._told.items() if peer in peers}
        self.service_us = {peer: figure for peer, figure in self.service_us.items() if peer in peers}

    def must_ask(self, peer: int, *, has_spoken: bool, now: float) -> bool:
        """Once a beat: whether the connected peer is to be asked now, by whether it has spoken since the last beat."""
        if has_spoken:
            self._asked.pop(peer, None)
            if now < self._told.get(peer, 0.0) + FIGURES_EVERY_S:
                return False
            self._told[peer] = now
            return True
        if peer in self._asked:
            return False
        self._asked[peer] = now
        return True

    def told(self, peer: int, service_us: int, now: float) -> None:
        """The peer has answered."""
        self._told[peer] = now
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


def peers_to_watch(view: View, rank: int, pod_uid: str, wanted: Mapping[int, SeatView]) -> frozenset[int]:
    """Of the wanted peers: this rank's share of the stage's other pods, and whom its lanes go on to."""
    seats = view.own.seats
    mates = sorted(seat.rank for seat in seats.values() if seat.pod_uid == pod_uid and seat.address is not None)
    others: dict[str, list[int]] = {}
    for peer in sorted(wanted):
        if peer in seats and seats[peer].pod_uid != pod_uid:
            others.setdefault(seats[peer].pod_uid, []).append(peer)
    shares = {
        peer for ranks in others.values() for place, peer in enumerate(ranks)
        if rank in mates and place % len(mates) == mates.index(rank)
    }  # fmt: skip
    return frozenset(shares | {peer for peer in wanted if peer not in seats})
