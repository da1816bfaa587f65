"""How the HTTP server leaves: says so, takes clients for a moment longer, finishes what it has, and cuts no stream
without a word.
"""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType

import uvicorn

FAREWELL_SECONDS = 1.0
"""For so long after SIGTERM clients still come, sent by those who have not yet heard that this pod ends."""
LAST_WORD_SECONDS = 1.0
"""For so long before the end whatever is unfinished is told so."""


class DrainingServer(uvicorn.Server):
    """Stops within `drain_seconds` of SIGTERM. `on_drain` is called at once, `on_end` for what will not be finished."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        drain_seconds: float,
        on_drain: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(config)
        config.timeout_graceful_shutdown = max(1, round(drain_seconds - FAREWELL_SECONDS))
        self._drain_seconds = drain_seconds
        self._on_drain = on_drain
        self._on_end = on_end
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_draining = False

    async def serve_and_drain(self) -> None:
        """Serve until asked to stop and done."""
        self._loop = asyncio.get_running_loop()
        await self.serve()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A second signal, or an interrupt from the terminal, means now."""
        if self._loop is None or self._is_draining or sig == signal.SIGINT:
            super().handle_exit(sig, frame)
            return
        self._is_draining = True
        self._loop.call_soon_threadsafe(self._drain, self._loop, sig, frame)

    def _drain(self, loop: asyncio.AbstractEventLoop, sig: int, frame: FrameType | None) -> None:
        self._on_drain()
        loop.call_later(min(FAREWELL_SECONDS, self._drain_seconds / 2), super().handle_exit, sig, frame)
        loop.call_later(max(0.0, self._drain_seconds - LAST_WORD_SECONDS), self._on_end)
