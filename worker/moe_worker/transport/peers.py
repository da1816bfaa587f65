"""The two kinds of connections, and what may be said on each: who dialled asks, who accepted answers."""

import socket

from moe_wire.messages import (
    Broken,
    Cancel,
    Challenge,
    Dispatch,
    Hello,
    NotHere,
    Reset,
    Result,
    Step,
    Submit,
    Tokens,
)
from moe_worker.protocol.transport import ConnectionId
from moe_worker.transport.connection import Connection, Phase

NO_MESSAGES: frozenset[type] = frozenset()
REQUESTS = {"rank": frozenset({Dispatch, Step, Tokens, Reset}), "gateway": frozenset({Submit, Cancel})}
ANSWERS = frozenset({Result, NotHere, Broken})


class Outbound(Connection):
    """A connection that this rank dialled; `hello` is what it said there. `has_spoken`: since the last beat."""

    __slots__ = ("has_spoken", "hello", "peer")

    def __init__(self, sock: socket.socket, peer: int, deadline: float, max_queued_bytes: int) -> None:
        super().__init__(sock, Phase.CONNECTING, deadline, max_queued_bytes)
        self.peer = peer
        self.hello: Hello | None = None
        self.has_spoken = False


class Inbound(Connection):
    """An accepted connection; `hello` is None, and nothing is allowed, until the dialler has proved itself."""

    __slots__ = ("allowed", "challenge", "hello", "id")

    def __init__(self, sock: socket.socket, challenge: Challenge, deadline: float, max_queued_bytes: int) -> None:
        super().__init__(sock, Phase.GREETING, deadline, max_queued_bytes)
        self.challenge = challenge
        self.hello: Hello | None = None
        self.allowed = NO_MESSAGES
        self.id: ConnectionId = 0
