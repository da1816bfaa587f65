"""Events that a node records about its pods, so that `kubectl describe` tells what happened."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import logging
import os
from collections.abc import Callable
from typing import Any

from moe_local.api import Api
from moe_local.errors import ApiError
from moe_local.nodes.status import rfc3339

Json = dict[str, Any]

logger = logging.getLogger(__name__)


class Events:
    """Records events in the background; losing one harms nobody, so a failed write is only logged."""

    def __init__(self, api: Api, node: str, now: Callable[[], datetime.datetime]) -> None:
        self._api = api
        self._node = node
        self._now = now
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count()
        self._last: dict[tuple[str, str], str] = {}

    def record(self, pod: Json, kind: str, reason: str, message: str) -> None:
        """`kind` is Normal or Warning. The same words about the same pod twice in a row are recorded once."""
        metadata = pod["metadata"]
        key = (metadata["uid"], reason)
        if self._last.get(key) == message:
            return
        self._last[key] = message
        task = asyncio.create_task(self._write(metadata, kind, reason, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, uid: str) -> None:
        """The pod is no more."""
        for key in [key for key in self._last if key[0] == uid]:
            del self._last[key]

    def retain(self, uids: set[str]) -> None:
        """All other pods are no more; some went while the node had no power."""
        for key in [key for key in self._last if key[0] not in uids]:
            del self._last[key]

    async def _write(self, metadata: Json, kind: str, reason: str, message: str) -> None:
        now, namespace = rfc3339(self._now()), metadata["namespace"]
        unique = f"{os.getpid():x}{int(self._now().timestamp() * 1e6):x}{next(self._numbers):x}"
        event = {
            "metadata": {"name": f"{metadata['name']}.{unique}", "namespace": namespace},
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": namespace}
            | {key: metadata[key] for key in ("name", "uid")},
            "type": kind,
            "reason": reason,
            "message": message[:1000],
            "source": {"component": "moe-local", "host": self._node},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._api.create(f"/api/v1/namespaces/{namespace}/events", event)
        except ApiError as error:
            logger.info("event %s of %s/%s not recorded: %s", reason, namespace, metadata["name"], error)
