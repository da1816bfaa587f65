"""Connections to the heads: one per head, dialled for as long as the layout names it, authenticated on both sides.

Knows bytes and sockets, not requests: what a head says is handed to the listener.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from moe_gateway.places import HeadLink
from moe_gateway.router import HeadKey
from moe_gateway.topology import HeadTarget
from moe_wire.errors import HandshakeError, WireError
from moe_wire.framing import MAX_FRAME_BYTES, MAX_GREETING_BYTES, Decoder, encode
from moe_wire.handshake import GATEWAY_RANK, NONCE_BYTES, Identity, judge_welcome, make_hello
from moe_wire.messages import Challenge, Hello, Message, Welcome

logger = logging.getLogger(__name__)

_FIRST_BACKOFF_SECONDS = 0.01
_LONGEST_BACKOFF_SECONDS = 0.5
_HANDSHAKE_SECONDS = 5.0


class HeadListener(Protocol):
    """Who is told about connections; moe_gateway.balancer.Balancer in production."""

    def connected(self, link: HeadLink) -> None: ...

    def lost(self, link: HeadLink) -> None: ...

    def received(self, link: HeadLink, message: Message) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Who this gateway is to the heads."""

    secret: bytes
    deployment: str
    pod_uid: str
    address: str = ""
    """The pod's own, to dial from; any where it is left out."""

    def identity(self, replica: int) -> Identity:
        return Identity(
            kind="gateway",
            deployment=self.deployment,
            replica=replica,
            rank=GATEWAY_RANK,
            pod_uid=self.pod_uid,
            incarnation=0,
        )


class HeadPool:
    """Keeps a connection to every head that the last layout named."""

    def __init__(self, credentials: Credentials, listener: HeadListener) -> None:
        self._credentials = credentials
        self._listener = listener
        self._keepers: dict[HeadKey, _Keeper] = {}

    def apply(self, targets: Mapping[HeadKey, HeadTarget]) -> None:
        """Follow a new layout. A head that it no longer names is let go at once; its requests move elsewhere."""
        for key in self._keepers.keys() - targets.keys():
            self._keepers.pop(key).stop()
        for key, target in targets.items():
            keeper = self._keepers.get(key)
            if keeper is None:
                self._keepers[key] = _Keeper(target, self._credentials, self._listener)
            else:
                keeper.follow(target)

    async def close(self) -> None:
        tasks = [keeper.stop() for keeper in self._keepers.values()]
        self._keepers.clear()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Keeper:
    """Dials one head again and again for as long as it is wanted."""

    def __init__(self, target: HeadTarget, credentials: Credentials, listener: HeadListener) -> None:
        self._target = target
        self._credentials = credentials
        self._listener = listener
        self._connection: _Connection | None = None
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"head {target.key}")

    def follow(self, target: HeadTarget) -> None:
        """The same head, perhaps elsewhere or with other lanes. An address that is only forgotten breaks nothing."""
        moved = target.address is not None and target.address != self._target.address
        self._target = target
        if self._connection is not None:
            self._connection.num_lanes = target.num_lanes
            self._connection.num_open_lanes = target.num_open_lanes
            if moved:
                self._connection.abort("the head has another address now")
        if moved:
            self._changed.set()

    def stop(self) -> asyncio.Task[None]:
        if self._connection is not None:
            self._connection.abort("the layout no longer names this head")
        self._task.cancel()
        return self._task

    async def _run(self) -> None:
        backoff = _FIRST_BACKOFF_SECONDS
        while True:
            try:
                await self._connect_once()
                backoff = _FIRST_BACKOFF_SECONDS
            except (OSError, TimeoutError, WireError, HandshakeError) as error:
                logger.debug("head %s at %s: %s", self._target.key, self._target.address, error)
                backoff = min(backoff * 2, _LONGEST_BACKOFF_SECONDS)
            await self._wait_for_change(backoff)

    async def _wait_for_change(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds if self._target.address is not None else None):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()

    async def _connect_once(self) -> None:
        """Connect, greet, and stay until the connection ends. Raises when it never came to be."""
        target = self._target
        if target.address is None:
            return
        connection = _Connection(target, self._credentials, self._listener)
        self._connection = connection
        try:
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                own = self._credentials.address
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, *target.address, local_addr=(own, 0) if own else None
                )
                await asyncio.shield(connection.is_up)
            await connection.is_closed
        finally:
            self._connection = None
            connection.abort("done")
            connection.forget()


class _Connection(asyncio.Protocol):
    """One TCP connection to a head, from the greeting on; a HeadLink while it is up."""

    def __init__(self, target: HeadTarget, credentials: Credentials, listener: HeadListener) -> None:
        loop = asyncio.get_running_loop()
        self.num_lanes = target.num_lanes
        self.num_open_lanes = target.num_open_lanes
        self.is_up: asyncio.Future[None] = loop.create_future()
        self.is_closed: asyncio.Future[None] = loop.create_future()
        self._target = target
        self._credentials = credentials
        self._listener = listener
        self._decoder = Decoder(MAX_GREETING_BYTES)
        self._hello: Hello | None = None
        self._is_listening = False
        self._transport: asyncio.Transport | None = None
        self._reason = "the head closed the connection"

    @property
    def key(self) -> HeadKey:
        return self._target.key

    @property
    def _is_given_up(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def send(self, message: Message) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(encode(message))

    def abort(self, reason: str) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._reason = reason
            self._transport.abort()

    def forget(self) -> None:
        """Nobody waits for this connection any more; its end is no news."""
        if not self.is_up.cancel() and not self.is_up.cancelled():
            self.is_up.exception()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        _watch_for_silence(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._decoder.feed(data)
            for message in messages:
                if self._is_given_up:
                    return
                if self._is_listening:
                    self._listener.received(self, message)
                else:
                    self._greet(message)
        except (WireError, HandshakeError) as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._reason = str(exc)
        self._fail(ConnectionError(self._reason))
        if not self.is_closed.done():
            self.is_closed.set_result(None)
        if self._is_listening:
            self._is_listening = False
            logger.info("head %s lost: %s", self.key, self._reason)
            self._listener.lost(self)

    def _greet(self, message: Message) -> None:
        if isinstance(message, Challenge) and self._hello is None:
            own, nonce = self._credentials.identity(self.key.replica), os.urandom(NONCE_BYTES)
            self._hello = make_hello(self._credentials.secret, own, self._target.epoch, message, nonce)
            self.send(self._hello)
        elif isinstance(message, Welcome) and self._hello is not None:
            judge_welcome(self._credentials.secret, self._hello, message, self.key.rank, self.key.pod_uid)
            self._decoder.max_frame_bytes = MAX_FRAME_BYTES
            self._is_listening = True
            if not self.is_up.done():
                self.is_up.set_result(None)
            logger.info("head %s connected at %s, incarnation %d", self.key, self._target.address, message.incarnation)
            self._listener.connected(self)
        else:
            raise HandshakeError(f"{type(message).__name__} in the middle of a greeting")

    def _fail(self, error: Exception) -> None:
        if not self.is_up.done():
            self.is_up.set_exception(error)
        self.abort(str(error))


def _watch_for_silence(connection: socket.socket) -> None:
    """A host that loses power says nothing: let the kernel notice within some five seconds."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000)
