"""A number per seat that grows with every fork into it, kept in the pod's state folder over container restarts."""

import os
from pathlib import Path

RESERVED = 64
"""Numbers taken with one write: a disk that is full keeps no rank from being forked again."""


class Incarnations:
    """One small file per seat, replaced whole, with the last number that is taken; a restart skips those not used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: dict[int, int] = {}
        self._taken: dict[int, int] = {}

    def next(self, rank: int) -> int:
        """Raises OSError when the state folder cannot be written: an incarnation must not be used twice."""
        if rank not in self._last:
            self._last[rank] = self._taken[rank] = self._read(rank)
        if self._last[rank] == self._taken[rank]:
            self._take(rank, self._taken[rank] + RESERVED)
        self._last[rank] += 1
        return self._last[rank]

    def _read(self, rank: int) -> int:
        try:
            return int((self._folder / f"rank-{rank}").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def _take(self, rank: int, last: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self._folder / f".rank-{rank}.new"
        fresh.write_text(f"{last}\n")
        os.replace(fresh, self._folder / f"rank-{rank}")
        self._taken[rank] = last
