"""Where a stall's time goes: until somebody says what failed, until it is decided, until it is loaded, until tokens.

Pure: from what was seen outside, with one clock. A rank that comes back into its seat needs no decision.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from benchmarks.failover.kills import Kill
from benchmarks.failover.sightings import SeatSeen, Sightings
from benchmarks.failover.stalls import longest_gap


@dataclass(frozen=True, kw_only=True)
class Phases:
    """Seconds, one after the other; None where the moment was not seen. Their sum is from the kill to tokens."""

    detect: float | None
    decide: float | None
    load: float | None
    resume: float | None

    def told(self) -> dict[str, float | None]:
        return asdict(self)

    def mended_after(self) -> float | None:
        """Seconds from the kill until nothing had to be done any more, but by the streams."""
        spans = (self.detect, self.decide, self.load)
        return None if None in spans else sum(span for span in spans if span is not None)


def phases(kill: Kill, seen: Sightings, arrivals: Sequence[Sequence[float]]) -> Phases:
    """`arrivals`: when the tokens of each stream came that may have waited for it."""
    found = _phases(kill, seen)
    after = found.mended_after()
    if after is None:
        return found
    # A wait that began later has another cause.
    gaps = [longest_gap(one, kill.at, kill.at + after) for one in arrivals]
    resumed = max((gap[1] for gap in gaps if gap is not None), default=None)
    return replace(found, resume=_span(kill.at + after, resumed))


def _phases(kill: Kill, seen: Sightings) -> Phases:
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
        resume=None,
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
