"""How much memory the processes of each kind have at a moment of the run. Judges nothing.

Only a process's own pages count: all share torch with the process that they were forked from, ten times as much.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

KIB_OF_MIB = 1024


@dataclass(frozen=True, kw_only=True)
class Size:
    """Of all processes of one role, in MiB."""

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
        if size := private_mib(pid):
            found[role].append(size)
    return {
        role: Size(processes=len(found[role]), mean=sum(found[role]) / len(found[role]), largest=max(found[role]))
        for role in shown
        if role in found
    }


def private_mib(pid: int) -> float:
    """The pages that no other process has; 0 when there is no such process."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / KIB_OF_MIB
