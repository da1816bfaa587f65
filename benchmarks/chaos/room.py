"""Which seats may be struck so that the rest has room for everything. Knows what was struck, changes nothing."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.chaos.faults import Strike
from demo.observe import Seat

LEAST_SEATS = 2
"""So many seats of each stage serve at any moment: they have room for all experts and lanes."""
CONTROL_APART_S = 30.0
"""From a strike at those who decide, which takes no seat, to the next: a GPU's failure waits for them."""


@dataclass(kw_only=True)
class Room:
    """`fallen` are the seats whose processes were killed, as they were then: what the operator says of them is old
    until it names another process.
    """

    fallen: dict[int, Seat] = field(default_factory=dict)
    control_at: float = float("-inf")

    def usable(self, seats: Sequence[Seat], serving: set[int], open_strikes: Iterable[Strike]) -> list[Seat]:
        """Seats that serve and are not struck."""
        for seat in seats:
            if (old := self.fallen.get(seat.rank)) and (old.pod, old.incarnation) != (seat.pod, seat.incarnation):
                del self.fallen[seat.rank]
        struck = {seat.rank for strike in open_strikes for seat in strike.taken} | self.fallen.keys()
        return [seat for seat in seats if seat.rank in serving and seat.rank not in struck]

    def has(self, strike: Strike, seats: Sequence[Seat], now: float) -> bool:
        """Whether enough of the usable `seats` are left after it."""
        if not strike.taken:
            return now >= self.control_at + CONTROL_APART_S
        taken = {seat.rank for seat in strike.taken}
        left = Counter(seat.stage for seat in seats if seat.rank not in taken)
        return all(left[stage] >= LEAST_SEATS for stage in {seat.stage for seat in strike.taken})

    def take(self, strike: Strike, now: float) -> None:
        """It was done."""
        if not strike.taken:
            self.control_at = now
        if strike.is_fatal:
            self.fallen |= {seat.rank: seat for seat in strike.taken}
