"""How much memory the processes of each kind have at a moment of the run. Judges nothing."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.soak.processes import MIB, resident_bytes


@dataclass(frozen=True, kw_only=True)
class Size:
    """Of all processes of one role, in MiB of RSS; what a fork shares with its parent counts for each of them."""

    processes: int
    mean: float
    largest: float


@dataclass(frozen=True, kw_only=True)
class Moment:
    """After so many strikes and minutes: the streams so far, and each role's size."""

    strikes: int
    minutes: float
    streams: int
    failed: int
    tokens: int
    sizes: Mapping[str, Size]

    def told(self) -> str:
        """In one line."""
        sizes = ", ".join(f"{role} {size.processes} x {size.mean:.1f}" for role, size in self.sizes.items())
        asked = f"{self.streams} streams, {self.failed} failed, {self.tokens} tokens"
        return f"{self.strikes} strikes in {self.minutes:.1f} min, {asked}; MiB: {sizes}"


def sizes_of(named: Mapping[int, str], shown: Iterable[str]) -> dict[str, Size]:
    """The sizes of the `shown` roles, in that order; a role that no process has now is left out."""
    found = defaultdict(list)
    for pid, role in named.items():
        if size := resident_bytes(pid):
            found[role].append(size / MIB)
    return {
        role: Size(processes=len(found[role]), mean=sum(found[role]) / len(found[role]), largest=max(found[role]))
        for role in shown
        if role in found
    }
