"""Dirty keys and their workers: one worker per key, however many events arrive while it works.

Knows nothing of Kubernetes. An event only marks its key; a key that was marked while it was being worked on is worked
on once more; a failure is tried again with backoff; one key never waits for another. A pass may ask to be repeated
when some time is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from moe_operator.clock import Clock, sleep_or

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, order=True)
class Key:
    """One object to reconcile."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Waits between tries of a key that fails: `first_seconds`, doubled each time, never above `most_seconds`."""

    first_seconds: float = 0.02
    most_seconds: float = 5.0

    def seconds(self, failures: int) -> float:
        """The wait after so many failures in a row (1 or more)."""
        return min(self.most_seconds, self.first_seconds * 2.0 ** min(failures - 1, 30))


class DirtyQueue:
    """The set of keys that need a look, and the workers that look."""

    def __init__(
        self,
        reconcile: Callable[[Key], Awaitable[float | None]],
        *,
        clock: Clock,
        backoff: Backoff,
        rest_seconds: Callable[[Key], float] = lambda key: 0.0,
        hold_seconds: Callable[[Key], float] = lambda key: 0.0,
    ) -> None:
        """`reconcile` returns after how many seconds time alone may change what is to be done, None when never.

        `rest_seconds` is the pause after a pass over a key, in which more marks gather; `hold_seconds` the one before
        the first pass over it, for keys that are to wait for what others do about the same news.
        """
        self._reconcile = reconcile
        self._clock = clock
        self._backoff = backoff
        self._rest_seconds = rest_seconds
        self._hold_seconds = hold_seconds
        self._dirty: set[Key] = set()
        self._workers: dict[Key, asyncio.Task[None]] = {}
        self._waits: dict[Key, asyncio.Task[None]] = {}
        self._last_tick = clock.monotonic()

    def mark(self, key: Key) -> None:
        """Say that the key's object, or something it depends on, may have changed."""
        self._dirty.add(key)
        if key not in self._workers:
            self._workers[key] = asyncio.create_task(self._work(key), name=str(key))

    async def tick(
        self, interval_seconds: float, all_keys: Callable[[], Awaitable[Iterable[Key]]], *, wake: asyncio.Event
    ) -> None:
        """For ever: every interval mark every key there is, events or not, one after the other all through it, as what
        looks at hundreds at once takes the processor from those that serve. All at once at the start, when woken, and
        after a failure.
        """
        is_calm = False
        while True:
            wake.clear()
            try:
                keys = list(await all_keys())
            except Exception:
                logger.exception("The tick failed and is tried again in %s s.", interval_seconds)
                is_calm = False
                await sleep_or(self._clock, interval_seconds, wake)
                continue
            pause = interval_seconds / len(keys) if keys and is_calm else 0.0
            for key in keys:
                self.mark(key)
                if pause and not wake.is_set():
                    await sleep_or(self._clock, pause, wake)
            self._last_tick = self._clock.monotonic()
            if not pause:
                await sleep_or(self._clock, interval_seconds, wake)
            is_calm = not wake.is_set()

    def depth(self) -> int:
        """How many keys are being worked on or wait for it."""
        return len(self._workers)

    def seconds_since_tick(self) -> float:
        """The age of the last complete look at everything."""
        return self._clock.monotonic() - self._last_tick

    async def idle(self) -> None:
        """Come back when no key is dirty or being worked on."""
        while self._workers:
            await asyncio.gather(*self._workers.values(), return_exceptions=True)

    async def stop(self) -> None:
        """Cancel the workers; the objects hold all the state, so nothing is lost."""
        tasks = [*self._workers.values(), *self._waits.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, key: Key) -> None:
        failures = 0
        try:
            if hold := self._hold_seconds(key):
                await self._clock.sleep(hold)
            while key in self._dirty:
                self._dirty.discard(key)
                failures = 0 if await self._try(key) else failures + 1
                if failures:
                    self._dirty.add(key)
                pause = self._backoff.seconds(failures) if failures else self._rest_seconds(key)
                if pause:
                    await self._clock.sleep(pause)
        finally:
            del self._workers[key]

    async def _try(self, key: Key) -> bool:
        try:
            again_in = await self._reconcile(key)
        except Exception as error:
            # Whatever went wrong is tried again; only the first line matters to a reader, the trace to a developer.
            logger.warning("%s: %s: %s; will try again.", key, type(error).__name__, error)
            logger.debug("%s failed.", key, exc_info=True)
            return False
        self._look_again(key, again_in)
        return True

    def _look_again(self, key: Key, again_in: float | None) -> None:
        """The last pass knows best when the next is due."""
        waiting = self._waits.pop(key, None)
        if waiting is not None:
            waiting.cancel()
        if again_in is not None:
            self._waits[key] = asyncio.create_task(self._mark_later(key, again_in), name=f"{key} again")

    async def _mark_later(self, key: Key, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self.mark(key)
