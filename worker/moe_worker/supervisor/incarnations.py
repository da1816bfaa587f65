"""A number per seat that grows with every fork into it, kept in the pod's state folder over container restarts."""

import os
from pathlib import Path


class Incarnations:
    """One small file per seat, replaced whole; a restart after a crash may skip a number, never repeat one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def next(self, rank: int) -> int:
        """Raises OSError when the state folder cannot be written: an incarnation must not be used twice."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"rank-{rank}"
        try:
            last = int(path.read_text())
        except (FileNotFoundError, ValueError):
            last = 0
        fresh = self._folder / f".rank-{rank}.new"
        fresh.write_text(f"{last + 1}\n")
        os.replace(fresh, path)
        return last + 1
