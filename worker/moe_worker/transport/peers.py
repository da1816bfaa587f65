"""The two kinds of connections, and what may be said on each: who dialled asks, who accepted answers."""

import socket

from moe_wire.messages import (
    Broken,
    Cancel,
    Challenge,
    Dispatch,
    Hello,
    Message,
    NotHere,
    Reset,
    Result,
    Step,
    Submit,
    Tokens,
)
from moe_worker.protocol.transport import Answered, Arrived, ConnectionId
from moe_worker.transport.connection import Connection, Phase

REQUESTS = {"rank": frozenset({Dispatch, Step, Tokens, Reset}), "gateway": frozenset({Submit, Cancel})}
ANSWERS = frozenset({Result, NotHere, Broken})


class Outbound(Connection):
    """A connection that this rank dialled; `hello` is what it said there."""

    __slots__ = ("hello", "peer")

    def __init__(self, sock: socket.socket, peer: int, deadline: float, max_queued_bytes: int) -> None:
        super().__init__(sock, Phase.CONNECTING, deadline, max_queued_bytes)
        self.peer = peer
        self.hello: Hello | None = None

    def event(self, message: Message) -> Answered:
        return Answered(self.peer, message)


class Inbound(Connection):
    """An accepted connection; `hello` is None, and nothing is allowed, until the dialler has proved itself."""

    __slots__ = ("challenge", "hello", "id")

    def __init__(self, sock: socket.socket, challenge: Challenge, deadline: float, max_queued_bytes: int) -> None:
        super().__init__(sock, Phase.GREETING, deadline, max_queued_bytes)
        self.challenge = challenge
        self.hello: Hello | None = None
        self.id: ConnectionId = 0

    def event(self, message: Message) -> Arrived:
        return Arrived(self.id, message)


Peer = Outbound | Inbound
