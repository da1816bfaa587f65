"""Which ranks of the stage are slow: those that for 10 s took many times as long as the others. Pure.

A verdict stands while the figures say so, and a while without any: a connection that breaks makes nobody fast.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

HOLD_S = 10.0
UNKNOWN_S = 30.0
MIN_OTHERS = 2


@dataclass(frozen=True, kw_only=True)
class _Suspect:
    since: float
    seen: float


class Slowness:
    """`slow`: by what factor each slow rank was slower than the others when it was found to be so."""

    def __init__(self) -> None:
        self.slow: Mapping[int, float] = {}
        self._suspects: dict[int, _Suspect] = {}

    def judge(self, service_us: Mapping[int, int], limit: float, now: float) -> bool:
        """Take in the newest figures of the stage's ranks (0: unknown); whether `slow` has changed. Limit 0: nobody
        is slow.
        """
        known = {rank: figure for rank, figure in service_us.items() if figure}
        factors = {rank: factor for rank in known if (factor := _factor(rank, known)) is not None} if limit else {}
        for rank, factor in factors.items():
            # Halfway back is still slow: no verdict comes and goes at the limit.
            if factor > (limit / 2 if rank in self.slow else limit):
                first = self._suspects.get(rank)
                self._suspects[rank] = _Suspect(since=first.since if first else now, seen=now)
            else:
                self._suspects.pop(rank, None)
        self._suspects = {rank: one for rank, one in self._suspects.items() if limit and now - one.seen < UNKNOWN_S}
        before = self.slow
        self.slow = {
            rank: before.get(rank) or factors.get(rank, limit)
            for rank, one in sorted(self._suspects.items()) if one.seen - one.since >= HOLD_S
        }  # fmt: skip
        return self.slow != before


def _factor(rank: int, known: Mapping[int, int]) -> float | None:
    """How many times as long as the median of the others it takes; None where too few others are known."""
    others = [figure for other, figure in known.items() if other != rank]
    return known[rank] / median(others) if len(others) >= MIN_OTHERS else None
