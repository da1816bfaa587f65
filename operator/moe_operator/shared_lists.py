"""Lists of a whole cluster that every pass needs: one read serves all passes of a moment.

A list is given again for some seconds; nobody hears of what changes meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """A list that is being read, or was; `until` when it may be given."""

    reading: asyncio.Future[list[Any]]
    until: float


class SharedLists:
    """By resource; `seconds` says for how long those that are kept may be given. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float], seconds: Mapping[Hashable, float]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._kept: dict[Hashable, _Kept] = {}

    async def get(self, resource: Hashable, read: Callable[[], Awaitable[list[Any]]]) -> list[Any]:
        """What `read` gives, or has given lately. It raises what `read` raises, and keeps no failure."""
        seconds = self._seconds.get(resource)
        if seconds is None:
            return await read()
        kept = self._kept.get(resource)
        if kept is None or self._clock() >= kept.until:
            kept = _Kept(reading=asyncio.ensure_future(read()), until=self._clock() + seconds)
            self._kept[resource] = kept
        try:
            # Shielded: who gives up waiting does not take it away from the others.
            return await asyncio.shield(kept.reading)
        except Exception:
            if self._kept.get(resource) is kept:
                del self._kept[resource]
            raise
