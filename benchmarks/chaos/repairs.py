"""What is broken, and when it is repaired. A repair that another failure stands in the way of waits for its turn."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from benchmarks.chaos.faults import Strike
from demo.cluster import CommandError
from moe_local.errors import LocalError

REFUSALS = (httpx.HTTPError, CommandError, LocalError)
RETRY_S = 1.0
LIMIT_S = 120.0


@dataclass(kw_only=True)
class Repairs:
    """`open` are the strikes that are not undone, with the moment from which on each may be."""

    open: list[tuple[float, Strike]] = field(default_factory=list)

    def add(self, strike: Strike, at: float) -> None:
        """Remember one that has to be undone; others are over by themselves."""
        if strike.undo is not None:
            self.open.append((at, strike))

    def do_due(self, now: float) -> bool:
        """Whether any of those that were due is repaired now; one that was refused stays due."""
        due = [entry for entry in self.open if entry[0] <= now]
        for entry in due:
            if _is_done(entry[1]):
                self.open.remove(entry)
        return any(entry not in self.open for entry in due)

    def do_all(
        self, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Return when nothing is broken; LocalError when that takes too long."""
        until = clock() + LIMIT_S
        while self.open:
            self.do_due(float("inf"))
            if self.open and clock() > until:
                words = "; ".join(strike.words for _, strike in self.open)
                raise LocalError(f"not repaired within {LIMIT_S:g} s: {words}; see the nodes' log")
            sleep(RETRY_S)


def _is_done(strike: Strike) -> bool:
    assert strike.undo is not None
    try:
        strike.undo()
    except REFUSALS:
        return False
    return True
