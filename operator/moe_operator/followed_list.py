"""A list of a whole cluster that events keep up to date: given at once, for what is weighed and not written.

Read anew from time to time, since events get lost. What is heard while a read is under way is put into what it gives:
an event older than that is followed by the newer one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from moe_operator import errors

logger = logging.getLogger(__name__)

Json = dict[str, Any]
Read = Callable[[], Awaitable[list[Json]]]
READ_EVERY_SECONDS = 60.0
TOO_OLD_SECONDS = 150.0


class FollowedList:
    """Objects that carry `labels`, by uid. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float], labels: Mapping[str, str]) -> None:
        self.labels = labels
        self._clock = clock
        self._objects: dict[str, Json] = {}
        self._read_at: float | None = None
        self._heard: list[tuple[str | None, Json]] = []
        self._num_reading = 0

    def hear(self, event_type: str | None, obj: Json) -> None:
        """An object is new or another now, or gone ("DELETED")."""
        if self._num_reading:
            self._heard.append((event_type, obj))
        self._take(event_type, obj)

    async def get(self, read: Read) -> list[Json]:
        """What was read and heard; read now where that is too long ago. Raises what `read` raises."""
        if self._read_at is None or self._clock() >= self._read_at + TOO_OLD_SECONDS:
            await self.renew(read)
        return list(self._objects.values())

    async def renew(self, read: Read) -> None:
        """Read it. Raises what `read` raises."""
        self._num_reading += 1
        began = self._clock()
        try:
            found = await read()
            self._objects = {obj["metadata"]["uid"]: obj for obj in found}
            for event_type, obj in self._heard:
                self._take(event_type, obj)
            self._read_at = began
        finally:
            self._num_reading -= 1
            if not self._num_reading:
                self._heard.clear()

    async def keep_renewing(self, read: Read, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """For ever, so that hardly any pass has to wait for a read."""
        while True:
            try:
                await self.renew(read)
            except errors.ApiError as error:
                logger.info("A list could not be read and is read again in %s s: %s", READ_EVERY_SECONDS, error)
            await sleep(READ_EVERY_SECONDS)

    def _take(self, event_type: str | None, obj: Json) -> None:
        if event_type == "DELETED":
            self._objects.pop(obj["metadata"]["uid"], None)
        else:
            self._objects[obj["metadata"]["uid"]] = obj
