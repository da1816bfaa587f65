"""A number per seat that grows with every fork into it, kept in the pod's state folder over container restarts."""

import os
from pathlib import Path

RESERVED = 64
"""Numbers taken with one write: a disk that takes no more writes keeps no rank from being forked again."""
DIGITS = 20
"""Of a number in its file, always: a longer one is to need no more room."""


class Incarnations:
    """One small file per seat with the last number that is taken; a restart skips those not used.

    It is written over where it lies, in one write of the same few bytes: that needs no room, however full the disk is.
    """

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
        file = os.open(self._folder / f"rank-{rank}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(file, f"{last:0{DIGITS}d}\n".encode(), 0)
        finally:
            os.close(file)
        self._taken[rank] = last
