"""A node's own way to the API server: what its pods dial, and what can be cut without anybody being told.

Without it, pods of all nodes would reach the API server at one address, and no single node could lose it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from moe_local.nodes.addresses import HOST_ADDRESS

CHUNK = 1 << 16

logger = logging.getLogger(__name__)


class Way:
    """Forwards to the API server, byte for byte. While it is cut, everything waits, as with a pulled cable."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._connections: set[asyncio.Task[None]] = set()

    def is_open(self) -> bool:
        """Whether the node reaches the API server."""
        return self._open.is_set()

    @property
    def address(self) -> tuple[str, int]:
        """Where the node's pods find the API server; `start` first."""
        assert self._server is not None, "start() first"
        host, port = self._server.sockets[0].getsockname()
        return str(host), int(port)

    async def start(self) -> None:
        """Listens at a free port."""
        self._server = await asyncio.start_server(self._serve, HOST_ADDRESS, 0, limit=CHUNK)

    async def close(self) -> None:
        """Ends every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def cut(self) -> None:
        """From now on nothing passes, and no connection is closed for it."""
        self._open.clear()

    def mend(self) -> None:
        """What waited passes now."""
        self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        try:
            await self._forward(reader, writer)
        except OSError as error:
            logger.debug("a connection to the API server broke: %s", error)
        finally:
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        there_reader, there_writer = await asyncio.open_connection(HOST_ADDRESS, self._target, limit=CHUNK)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, there_writer))
                pumps.create_task(self._pump(there_reader, writer))
        finally:
            there_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copies until the end, then passes the end on; a broken side ends both."""
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
            await self._open.wait()
            writer.write_eof()
            return
        writer.transport.abort()
