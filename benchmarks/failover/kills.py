"""One failure: whom it hits, and how it is made without another process being started beside it."""

import random
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass

from demo.cluster import Cluster
from demo.observe import Seat
from moe_local import gpus
from moe_local.state import State


@dataclass(frozen=True, kw_only=True)
class Kill:
    """`how` is what `moe-local gpu fail --how` takes; the rest is what the rank held before."""

    how: str
    at: float
    seat: Seat


class Hand:
    """Kills ranks and heals GPUs from this process: a command's start would take CPU time from what is measured."""

    def __init__(self, cluster: Cluster) -> None:
        self._state = State(cluster.state)
        self._settings = self._state.require()

    def fail(self, seat: Seat, how: str) -> Kill:
        """Raises LocalError when no process drives the GPU."""
        at = time.monotonic()
        gpus.fail(self._state, self._settings, seat.node, seat.gpu, gpus.How(how))
        return Kill(how=how, at=at, seat=seat)

    def heal(self, seat: Seat) -> None:
        gpus.heal(self._state, self._settings, seat.node, seat.gpu)

    def driver(self, seat: Seat) -> int | None:
        """The pid of the rank's process."""
        return gpus.read(self._state, seat.node, seat.gpu).driver

    def drivers(self) -> list[int]:
        """The pid of every rank's process."""
        found = gpus.inspect(self._state, self._settings)
        return [gpu.driver for gpu in found if gpu.driver is not None]


def choose(seats: Sequence[Seat], hit: Sequence[int], lanes: Set[int], dice: random.Random) -> Seat:
    """A rank with an expert and a lane that was not hit before: of one of `lanes`, those that streams are in, where
    there is any; then in a stage that was hit least; by chance among those. Raises ValueError where none is left.
    """
    usable = [seat for seat in seats if seat.experts and seat.lanes and seat.rank not in hit]
    if not usable:
        raise ValueError(f"all {len(hit)} ranks that hold an expert and a lane were hit already; ask for fewer kills")
    usable = [seat for seat in usable if lanes & set(seat.lanes)] or usable
    times = dict.fromkeys({seat.stage for seat in seats}, 0)
    for seat in seats:
        times[seat.stage] += seat.rank in hit
    fewest = min(times[seat.stage] for seat in usable)
    return dice.choice([seat for seat in usable if times[seat.stage] == fewest])
