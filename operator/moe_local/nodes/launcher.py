"""The daemon's side of the zygote: starts containers, kills them, tells when they end.

When the zygote itself dies, every container has died with it: each is reported as killed and a new zygote is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from moe_local import process
from moe_local.container import Order
from moe_local.errors import StartError

KILLED = 137
# Read by numeric libraries at import; 256 processes must not start a thread per core each.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

logger = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class Child:
    """A process that the zygote forked. `ended` gives its exit code."""

    pid: int
    ended: asyncio.Future[int]


class Launcher:
    """Forks containers from one warm process."""

    def __init__(self, preload: Sequence[str], log: Path, records: process.Records) -> None:
        self._preload = preload
        self._log = log
        self._records = records
        self._numbers = itertools.count()
        self._pending: dict[int, tuple[Child, asyncio.Future[None]]] = {}
        self._children: dict[int, Child] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._warm = asyncio.Event()

    @property
    def is_warm(self) -> bool:
        """Whether the zygote has imported everything and takes orders."""
        return self._warm.is_set()

    async def run(self) -> None:
        """Keeps a zygote alive, for ever."""
        while True:
            await self._live_once()
            logger.error("the zygote ended; every container died with it; starting another")
            await asyncio.sleep(0.5)

    async def start(self, order: Order) -> Child:
        """Starts a program and returns when it runs; raises StartError when it cannot."""
        await self._warm.wait()
        number = next(self._numbers)
        loop = asyncio.get_running_loop()
        child = Child(pid=0, ended=loop.create_future())
        started: asyncio.Future[None] = loop.create_future()
        self._pending[number] = (child, started)
        self._send(id=number, order=asdict(order))
        try:
            await asyncio.shield(started)
        except asyncio.CancelledError:
            started.add_done_callback(lambda future: future.cancelled() or future.exception())
            child.ended.add_done_callback(lambda _: None)
            self.kill(child, signal.SIGKILL)
            raise
        return child

    def kill(self, child: Child, number: signal.Signals) -> None:
        """Signals a container's init; SIGKILL takes all of the container with it."""
        if child.pid and not child.ended.done():
            self._send(kill=child.pid, signal=int(number))

    def kill_everything(self) -> list[asyncio.Future[int]]:
        """SIGKILL to every container; gives what tells of their ends."""
        children = list(self._children.values())
        for child in children:
            self.kill(child, signal.SIGKILL)
        return [child.ended for child in children]

    def _send(self, **message: Any) -> None:
        if self._writer is not None:
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def _live_once(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "moe_local.zygote", f"--control={theirs.fileno()}"]
        command += [f"--preload={module}" for module in self._preload]
        with open(self._log, "ab") as log, theirs:  # noqa: ASYNC230  # once per zygote
            zygote = await asyncio.create_subprocess_exec(
                *command, pass_fds=[theirs.fileno()], stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                env=_zygote_environment(os.environ), start_new_session=True,
            )  # fmt: skip
        identity = process.identify(zygote.pid)
        if identity:
            self._records.write("zygote", identity)
        try:
            reader, self._writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
            with contextlib.suppress(ConnectionError):
                while line := await reader.readline():
                    self._hear(json.loads(line))
        finally:
            await self._bury(zygote)

    async def _bury(self, zygote: asyncio.subprocess.Process) -> None:
        self._warm.clear()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        with contextlib.suppress(ProcessLookupError):
            zygote.kill()
        await zygote.wait()
        for child, started in self._pending.values():
            if not started.done():
                started.set_exception(StartError("CreateContainerError", "the process that starts containers died"))
            if not child.ended.done():
                child.ended.set_result(KILLED)
        for child in self._children.values():
            if not child.ended.done():
                child.ended.set_result(KILLED)
        self._pending.clear()
        self._children.clear()

    def _hear(self, message: dict[str, Any]) -> None:
        if "exit" in message:
            child = self._children.pop(message["exit"], None)
            if child and not child.ended.done():
                child.ended.set_result(message["code"])
        elif "ready" in message:
            for note in message["notes"]:
                logger.warning("zygote: %s", note)
            self._warm.set()
        elif "fatal" in message:
            logger.error("zygote: %s", message["fatal"])
        else:
            self._hear_start(message)

    def _hear_start(self, message: dict[str, Any]) -> None:
        child, started = self._pending[message["id"]]
        if "pid" in message:
            child.pid = message["pid"]
            self._children[child.pid] = child
            if started.cancelled():
                self.kill(child, signal.SIGKILL)
            return
        del self._pending[message["id"]]
        if started.done():
            return
        if "error" in message:
            started.set_exception(StartError("CreateContainerError", message["error"]))
        else:
            started.set_result(None)


def _zygote_environment(given: Mapping[str, str]) -> dict[str, str]:
    return dict(given) | ONE_THREAD
