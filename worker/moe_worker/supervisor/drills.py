"""Rehearsed failures: whether one is to be carried out now. Each is, once, also by a supervisor that starts anew."""

import os
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path

from moe_api.moment import parse_moment
from moe_api.stage import StageDrillSpec


class Drills:
    """Remembers the last one in the pod's state folder."""

    def __init__(self, folder: Path, wall_clock: Callable[[], datetime]) -> None:
        self._folder = folder
        self._wall_clock = wall_clock

    def take(self, drill: StageDrillSpec, ranks: Collection[int]) -> float | None:
        """For how many seconds its rank is to fail, or None: it is another pod's, over, or was carried out before.

        It counts as carried out from now on. Raises OSError where that cannot be written down, ValueError for no time.
        """
        seconds = (parse_moment(drill.until) - self._wall_clock()).total_seconds()
        if drill.rank not in ranks or seconds <= 0 or drill.name == self._last():
            return None
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self._folder / ".drill.new"
        fresh.write_text(drill.name)
        os.replace(fresh, self._folder / "drill")
        return seconds

    def _last(self) -> str:
        try:
            return (self._folder / "drill").read_text()
        except FileNotFoundError:
            return ""
