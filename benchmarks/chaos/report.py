"""What came of a run, as markdown: the strikes, the promises, and the memory from first to last."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.chaos.memory import Moment
from benchmarks.machine import machine
from benchmarks.soak.report import Promise


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`refused` are strikes that found nothing to strike any more; `longest_wait` is between two tokens, in seconds."""

    seed: int
    struck: Mapping[str, int]
    refused: Mapping[str, int]
    moments: Sequence[Moment]
    longest_wait: float
    promises: Sequence[Promise]

    @property
    def is_good(self) -> bool:
        return all(promise.is_kept for promise in self.promises)

    def write(self, file: Path) -> None:
        """One page."""
        sections = [self._title(), self._promises(), self._strikes(), self._memory(), self._course()]
        file.write_text("\n\n".join(sections) + "\n")

    def _title(self) -> str:
        last, strikes = self.moments[-1], sum(self.struck.values())
        here = ", ".join(f"{name} {value}" for name, value in machine().items())
        return (
            f"# Chaos\n\nSeed {self.seed}, {time.strftime('%Y-%m-%d')}: {strikes} random failures in"
            f" {last.minutes:.0f} minutes, one each {60 * last.minutes / max(1, strikes):.1f} s, under"
            f" {last.streams} streams with {last.tokens} tokens. The longest wait between two tokens of a stream was"
            f" {self.longest_wait:.1f} s.\n\n{here}"
        )

    def _promises(self) -> str:
        rows = [(one.name, one.found, "yes" if one.is_kept else "NO") for one in self.promises]
        evidence = [f"* {one.name}: {line}" for one in self.promises for line in one.evidence]
        return _table(("promise", "found", "kept"), rows) + "".join(f"\n{line}" for line in ("", *evidence) if evidence)

    def _strikes(self) -> str:
        names = sorted(self.struck.keys() | self.refused.keys())
        rows = [(name, str(self.struck.get(name, 0)), str(self.refused.get(name, 0))) for name in names]
        return "## Strikes\n\n" + _table(("kind", "made", "found nothing to strike"), rows)

    def _memory(self) -> str:
        first, last = self.moments[0].sizes, self.moments[-1].sizes
        rows = []
        for role in first.keys() & last.keys():
            before, after = first[role], last[role]
            sizes = (f"{before.processes} x {before.mean:.1f}", f"{after.processes} x {after.mean:.1f}")
            rows.append(
                (role, *sizes, f"{max(one.sizes[role].largest for one in self.moments if role in one.sizes):.1f}")
            )
        head = ("processes", "first, MiB each", "last, MiB each", "largest ever seen")
        told = "Pages of a process's own, the mean of all processes of a kind."
        return f"## Memory\n\n{told}\n\n" + _table(head, sorted(rows))

    def _course(self) -> str:
        roles = list(self.moments[0].sizes)
        rows = []
        for one in self.moments:
            sizes = (f"{one.sizes[role].mean:.1f}" if role in one.sizes else "-" for role in roles)
            done = (str(one.strikes), f"{one.minutes:.1f}", str(one.streams), str(one.failed), str(one.tokens))
            rows.append((*done, *sizes))
        head = ("strikes", "minutes", "streams", "failed", "tokens", *(f"{role}, MiB" for role in roles))
        return "## On the way\n\n" + _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
