"""Tells the API server about one pod: its status whenever that differs from what was last told, and its removal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from moe_local.api import Api
from moe_local.errors import ApiError
from moe_local.nodes.status import PodView, pod_status

Json = dict[str, Any]

RETRY_SECONDS = 0.5
DELETE_NOW = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}

logger = logging.getLogger(__name__)


class Reporter:
    """Writes only what changed, and keeps trying while the API server is away."""

    def __init__(self, api: Api, metadata: Json, view: Callable[[], PodView], timestamp: Callable[[], str]) -> None:
        self._api = api
        self._uid: str = metadata["uid"]
        self._path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        self._view = view
        self._timestamp = timestamp
        self._conditions: Sequence[Json] = ()
        self._dirty = asyncio.Event()
        self._reported: Json = {}

    def changed(self) -> None:
        """Something in the view may be new."""
        self._dirty.set()

    def recall(self, conditions: Sequence[Json]) -> None:
        """Takes conditions that others wrote or that an earlier life reported; ours of now are kept.

        They are told again where others wrote over them, as controllers do to pods of a node that they take for lost.
        """
        told = {one["type"]: one["status"] for one in self._reported.get("conditions", ())}
        if any(told.get(one["type"], one["status"]) != one["status"] for one in conditions):
            self._reported = {}
            self._dirty.set()
        ours = {one["type"] for one in self._reported.get("conditions", ())}
        kept = [one for one in self._conditions if one["type"] in ours]
        self._conditions = kept + [one for one in conditions if one["type"] not in ours]

    async def run(self) -> None:
        """Reports until cancelled."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await self._persist(self._report)

    async def finish(self, running: asyncio.Task[None]) -> None:
        """Ends `run`, reports a last time and removes the object."""
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await self._persist(self._report)
        await self._persist(self._remove)

    async def _report(self) -> None:
        status = pod_status(self._view(), self._conditions, self._timestamp())
        if status == self._reported:
            return
        # What others write over it shows in `recall`, which may be called before the answer is here.
        self._reported = status
        try:
            await self._api.patch(f"{self._path}/status", {"metadata": {"uid": self._uid}, "status": status})
        except BaseException:
            self._reported = {}
            raise
        self._conditions = [
            *status["conditions"],
            *(one for one in self._conditions if one["type"] not in {own["type"] for own in status["conditions"]}),
        ]

    async def _remove(self) -> None:
        await self._api.delete(self._path, DELETE_NOW | {"preconditions": {"uid": self._uid}})

    async def _persist(self, call: Callable[[], Awaitable[None]]) -> None:
        """Until the API server has answered; an object that is gone or another's is none of ours any more."""
        while True:
            try:
                await call()
                return
            except ApiError as error:
                if not error.is_transient:
                    if error.status not in (404, 409):
                        logger.error("%s: %s", self._path, error)
                    return
                await asyncio.sleep(RETRY_SECONDS)
