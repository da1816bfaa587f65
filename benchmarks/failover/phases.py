"""Where a stall's time goes: until somebody says what failed, until it is decided, until it is loaded, until tokens.

Pure: from what was seen outside, with one clock. A rank that comes back into its seat needs no decision.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from benchmarks.failover.kills import Kill
from benchmarks.failover.sightings import SeatSeen, Sightings


@dataclass(frozen=True, kw_only=True)
class Phases:
    """Seconds, one after the other; None where the moment was not seen. Their sum is from the kill to tokens."""

    detect: float | None
    decide: float | None
    load: float | None
    resume: float | None

    def told(self) -> dict[str, float | None]:
        return asdict(self)


def phases(kill: Kill, seen: Sightings, resumed: float | None) -> Phases:
    """`resumed` is when the last stream that had waited had its next token."""
    seats = [one for one in seen.seats if one.at > kill.at]
    detected = _first(one.at for one in seats if one.rank == kill.seat.rank and _is_news(one, kill))
    if kill.how == "device":
        decided = _first(one.at for one in seen.epochs if one.at > kill.at and one.stage == kill.seat.stage)
        hosts = _hosts_before(seen.seats, kill.at)
        loaded = _moved(kill, seats, hosts, decided)
    else:
        decided = detected
        loaded = _first(one.at for one in seats if one.rank == kill.seat.rank and _is_back(one, kill))
    return Phases(
        detect=_span(kill.at, detected),
        decide=_span(detected, decided),
        load=_span(decided, loaded),
        resume=_span(loaded, resumed),
    )


def _is_news(one: SeatSeen, kill: Kill) -> bool:
    return one.state != "serving" or not one.is_healthy or one.incarnation > kill.seat.incarnation


def _is_back(one: SeatSeen, kill: Kill) -> bool:
    is_new = one.incarnation > kill.seat.incarnation
    return is_new and one.state == "serving" and set(kill.seat.experts) <= one.experts


def _hosts_before(seats: Iterable[SeatSeen], moment: float) -> Mapping[int, frozenset[int]]:
    """What each rank held."""
    return {one.rank: one.experts for one in seats if one.at <= moment}


def _moved(
    kill: Kill, seats: Iterable[SeatSeen], hosts: Mapping[int, frozenset[int]], decided: float | None
) -> float | None:
    """When each expert of the dead rank was held elsewhere; with a live copy that is so when it is decided."""
    missing = set(kill.seat.experts)
    for rank, experts in hosts.items():
        if rank != kill.seat.rank:
            missing -= experts
    if not missing:
        return decided
    for one in seats:
        if one.rank != kill.seat.rank:
            missing -= one.experts
        if not missing:
            return max(one.at, decided or one.at)
    return None


def _first(moments: Iterable[float]) -> float | None:
    return min(moments, default=None)


def _span(earlier: float | None, later: float | None) -> float | None:
    """Never below 0: what happened meanwhile may be seen a moment late."""
    return None if earlier is None or later is None else max(0.0, later - earlier)
