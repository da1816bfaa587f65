"""Streams without end: so many at a time, each followed at once by the next. Knows the gateway's API only.

A thread of its own runs them; whoever reads meanwhile sees lists that grow.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

from demo.streams import Prompt, Stream, ask

TIMEOUT = httpx.Timeout(60.0, read=600.0)
"""Seconds; longer than a group takes to start with cold containers."""
PAUSE_S = 0.2
"""After a stream that failed, so that a gateway which is gone is not asked thousands of times."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """`name` is the request's id at the gateway, `number` its prompt's."""

    name: str
    number: int
    stream: Stream


class Crowd:
    """Runs from entering the context until leaving it; what is under way then is cut off and counts as unfinished."""

    def __init__(self, url: str, model: str, prompts: Sequence[Prompt], num_streams: int, *, prefix: str) -> None:
        self.asked: list[Asked] = []
        self._url = f"{url}/v1/completions"
        self._model = model
        self._prompts = prompts
        self._num_streams = num_streams
        self._prefix = prefix
        self._numbers = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="crowd")
        self._tasks: list[asyncio.Task[None]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join()
        self._loop.close()

    def running(self) -> list[Asked]:
        """Those that have a token and have not ended."""
        return [one for one in self.asked if one.stream.arrivals and not one.stream.finish and not one.stream.error]

    def streams(self) -> list[Stream]:
        """All so far, in the order of their beginnings."""
        return [one.stream for one in self.asked]

    def failed(self) -> list[str]:
        """What each stream that failed says."""
        return [f"{one.name}: {one.stream.error}" for one in self.asked if one.stream.error]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _main(self) -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=TIMEOUT, limits=limits, trust_env=False) as client:
            self._tasks = [asyncio.create_task(self._slot(client)) for _ in range(self._num_streams)]
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _slot(self, client: httpx.AsyncClient) -> None:
        while True:
            turn = next(self._numbers)
            number = turn % len(self._prompts)
            stream = Stream(prompt=self._prompts[number], began=time.monotonic())
            self.asked.append(Asked(name=f"{self._prefix}-{turn}", number=number, stream=stream))
            await ask(client, self._url, self._model, stream, seen=_nothing, name=self.asked[-1].name)
            if stream.error:
                await asyncio.sleep(PAUSE_S)


def _nothing() -> None:
    """The arrivals are read from outside."""


def wrong_tokens(asked: Sequence[Asked], expected: Sequence[Sequence[int]]) -> list[str]:
    """One line for every stream that said something else than `expected`, of what it said so far."""
    found = []
    for one in asked:
        wanted, said = list(expected[one.number]), one.stream.tokens
        if said != wanted[: len(said)] or (one.stream.finish and len(said) != len(wanted)):
            position = next((at for at, pair in enumerate(zip(said, wanted, strict=False)) if pair[0] != pair[1]), None)
            found.append(f"{one.name}: {len(said)} of {len(wanted)} tokens, the first wrong one at {position}")
    return found
