"""Follows stage objects for ever: list and watch, again with backoff when either ends, serving on with what was
last seen.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from pydantic import ValidationError

from moe_api.stage import MoEStage
from moe_worker.api import ApiUnavailable, StageApi
from moe_worker.logs import Logger

FIRST_BACKOFF_S = 0.05
MAX_BACKOFF_S = 1.0
LONG_ENOUGH_S = 5.0


class Follower:
    """The newest known state of one MoEStage. `error` says why the newest object could not be read, "" when it
    could.
    """

    def __init__(self, api: StageApi, name: str, changed: Callable[[], None], log: Logger) -> None:
        self.name = name
        self.stage: MoEStage | None = None
        self.error = ""
        self._api = api
        self._changed = changed
        self._log = log

    async def run(self) -> None:
        """Until cancelled. A server that is away is asked again every second at most, one that closes at once is
        not hammered.
        """
        backoff, is_away = FIRST_BACKOFF_S, False
        while True:
            started = time.monotonic()
            try:
                async with aclosing(self._api.follow(self.name)) as states:  # type: ignore[type-var]  # a generator
                    async for state in states:
                        if is_away:
                            self._log.info(f"API server is back, following {self.name}")
                        is_away = False
                        self._take(state)
            except ApiUnavailable as error:
                if not is_away:
                    self._log.warning(f"cannot follow {self.name}, serving on with what is known: {error}")
                is_away = True
            backoff = FIRST_BACKOFF_S if time.monotonic() - started > LONG_ENOUGH_S else min(backoff * 2, MAX_BACKOFF_S)
            await asyncio.sleep(backoff)

    def _take(self, state: dict[str, Any] | None) -> None:
        """An older state of the same object, which a second API server may show, changes nothing; nor do most of its
        status.
        """
        if state is None:
            self.stage, self.error = None, ""
        else:
            try:
                fresh = MoEStage.load(state)
            except ValidationError as error:
                self.error = f"MoEStage {self.name} cannot be read: {error}; run one release of operator and workers"
            else:
                if self.stage is not None and not self.error and not _is_news(fresh, self.stage):
                    return
                self.stage, self.error = fresh, ""
        self._changed()


def _is_news(fresh: MoEStage, known: MoEStage) -> bool:
    """Of the status only the seats' addresses are looked at: each time it is written the pods of three stages wake."""
    if fresh.metadata.uid != known.metadata.uid or fresh.metadata.generation > known.metadata.generation:
        return True
    return fresh.metadata.generation == known.metadata.generation and _addresses(fresh) != _addresses(known)


def _addresses(stage: MoEStage) -> list[tuple[int, str | None, str | None]]:
    return [(rank.rank, rank.pod_uid, rank.address) for rank in stage.status.ranks]
