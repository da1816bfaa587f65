"""What was promised and what came of it, as a table for people and as JSON for comparisons."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from benchmarks.soak.processes import MIB, Series

MOST_GROWTH = 0.02
"""Memory is flat when what its slope adds over the time after warming up is at most this share of it.

Not 0: a gateway's RSS gains 0.1 to 0.4 KiB a request of which tracemalloc saw nothing, so the allocator seems to have
it. 20 KiB kept of each request, put in to see this fail, were 17 % within 40 seconds.
"""


@dataclass(frozen=True, kw_only=True)
class Promise:
    """`evidence` are the first lines about what broke it."""

    name: str
    is_kept: bool
    found: str
    evidence: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Of whoever sits in a place, in MiB; `slope` a minute, after warming up. `is_judged`: one process all the time."""

    place: str
    processes: int
    typical: float
    highest: float
    slope: float
    growth: float
    is_judged: bool


@dataclass(frozen=True, kw_only=True)
class Report:
    """One run."""

    options: Mapping[str, Any]
    figures: Mapping[str, float]
    memory: Sequence[Memory]
    promises: Sequence[Promise]

    @property
    def is_good(self) -> bool:
        return all(promise.is_kept for promise in self.promises)

    def write(self, file: Path) -> None:
        """JSON, with the machine."""
        content = {"machine": machine(), "is_good": self.is_good, **asdict(self)}
        file.write_text(json.dumps(content, indent=1) + "\n")

    def show(self, console: Console) -> None:
        """Three tables, and what is known of each broken promise."""
        figures = Table("figure", "", title="soak")
        for name, value in self.figures.items():
            figures.add_row(name, f"{value:g}")
        memory = Table("memory", "processes", "typical, MiB", "highest, MiB", "slope, MiB/min", "growth")
        for one in self.memory:
            slope = (f"{one.slope:+.2f}", f"{one.growth:+.1%}") if one.is_judged else ("", "")
            memory.add_row(one.place, str(one.processes), f"{one.typical:.1f}", f"{one.highest:.1f}", *slope)
        promises = Table("promise", "kept", "found")
        for promise in self.promises:
            promises.add_row(promise.name, "yes" if promise.is_kept else "NO", promise.found)
        for table in (figures, memory, promises):
            console.print(table)
        for promise in self.promises:
            for line in promise.evidence:
                console.print(f"{promise.name}: {line}", markup=False, highlight=False)
        console.print(", ".join(f"{name} {value}" for name, value in machine().items()), highlight=False)


def memory_of(series: Mapping[str, Series]) -> list[Memory]:
    """A row for each place."""
    return [
        Memory(
            place=place,
            processes=one.processes,
            typical=one.typical / MIB,
            highest=one.highest / MIB,
            slope=one.slope * 60 / MIB,
            growth=one.growth,
            is_judged=one.processes == 1,
        )
        for place, one in series.items()
    ]


def flatness(memory: Sequence[Memory]) -> Promise:
    """Of the processes that lived all the time. What shrinks is no leak."""
    judged = [one for one in memory if one.is_judged]
    broken = [one for one in judged if one.growth > MOST_GROWTH]
    worst = max(judged, key=lambda one: one.growth)
    return Promise(
        name="flat memory",
        is_kept=not broken,
        found=f"{worst.place} grew most: {worst.growth:+.1%}, {worst.slope:+.2f} MiB/min",
        evidence=[f"{one.place} grew by {one.growth:.1%}, at most {MOST_GROWTH:.0%} may be" for one in broken],
    )


def none_of(name: str, lines: Sequence[str]) -> Promise:
    """Kept when there is no such line."""
    return Promise(name=name, is_kept=not lines, found=str(len(lines)), evidence=lines[:5])
