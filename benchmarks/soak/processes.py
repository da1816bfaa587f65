"""Processes as /proc shows them: how much memory they have, how it grows, and who is still there at the end."""

import statistics
from dataclasses import dataclass, field
from os import sysconf
from pathlib import Path

MIB = 1 << 20
PAGE_BYTES = sysconf("SC_PAGE_SIZE")
WARM_UP = 1 / 3
"""Share of the time after which caches are full, so that what grows still is a leak."""


def resident_bytes(pid: int) -> int | None:
    """RSS; None when there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError):
        return None


def started(pid: int) -> str | None:
    """When, in the kernel's ticks, which tells it from a later process of the same number; None for none, and for one
    that is dead already.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


@dataclass(kw_only=True)
class Series:
    """RSS of whoever has a place, over the life of the process that has it now."""

    pid: int
    processes: int = 1
    seconds: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    highest: int = 0

    def add(self, pid: int, now: float, size: int) -> None:
        """Another process begins anew."""
        if pid != self.pid:
            self.pid, self.seconds, self.sizes = pid, [], []
            self.processes += 1
        self.seconds.append(now)
        self.sizes.append(size)
        self.highest = max(self.highest, size)

    @property
    def typical(self) -> float:
        """Bytes, the median after warming up."""
        return statistics.median(self._warm()[1])

    @property
    def slope(self) -> float:
        """Bytes a second after warming up, by least squares; 0 for fewer than two samples."""
        seconds, sizes = self._warm()
        return statistics.linear_regression(seconds, sizes).slope if len(seconds) > 1 else 0.0

    @property
    def growth(self) -> float:
        """By what share of itself it has grown after warming up, as the slope says."""
        seconds, _ = self._warm()
        return self.slope * (seconds[-1] - seconds[0]) / self.typical

    def _warm(self) -> tuple[list[float], list[int]]:
        first = self.seconds[0] + WARM_UP * (self.seconds[-1] - self.seconds[0])
        skip = sum(second < first for second in self.seconds)
        return self.seconds[skip:], self.sizes[skip:]


class Watched:
    """Every process that had one of the places, and its memory."""

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}
        self._seen: set[tuple[int, str]] = set()

    def look(self, now: float, pids: dict[str, int | None]) -> None:
        """Note who has each place now; one that died a moment ago is left out."""
        for place, pid in pids.items():
            birth, size = (started(pid), resident_bytes(pid)) if pid else (None, None)
            if pid and birth and size:
                self._seen.add((pid, birth))
                self.series.setdefault(place, Series(pid=pid)).add(pid, now, size)

    def left(self) -> list[int]:
        """Those that still run."""
        return sorted(pid for pid, birth in self._seen if started(pid) == birth)
