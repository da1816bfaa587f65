"""Who can be reached now. What a rank says to itself loops back in memory, through the same handlers as all else;
what it says to people waits in a list, as nothing here writes a log.
"""

from collections import deque
from typing import Protocol

from moe_wire.messages import Message, Returned
from moe_worker.protocol.transport import Answered, Arrived, ConnectionId, Transport


class Asked(Protocol):
    """What a request is called: by the gateway, and by the client."""

    @property
    def request(self) -> bytes: ...

    @property
    def name(self) -> str: ...


LOCAL: ConnectionId = 0
"""The connection over which a rank talks to itself. It exists always and is never lost."""


class Links:
    """The transport as the rest of the core sees it: one peer is like another, its own rank included.

    `looped` is what this rank has said to itself and not heard yet, oldest first; `notes` are lines for its log.
    """

    def __init__(self, own_rank: int, transport: Transport) -> None:
        self.own_rank = own_rank
        self._transport = transport
        self._incarnations: dict[int, int] = {}
        self.looped: deque[Arrived | Answered] = deque()
        self.notes: list[str] = []

    def connected(self, peer: int, incarnation: int) -> None:
        self._incarnations[peer] = incarnation

    def lost(self, peer: int) -> None:
        self._incarnations.pop(peer, None)

    def is_connected(self, peer: int) -> bool:
        return peer in self._incarnations or peer == self.own_rank

    def send(self, peer: int, message: Message) -> None:
        if peer == self.own_rank:
            self.looped.append(Arrived(LOCAL, message))
        else:
            self._transport.send(peer, message)

    def reply(self, connection: ConnectionId, message: Message) -> None:
        if connection == LOCAL:
            self.looped.append(Answered(self.own_rank, message))
        else:
            self._transport.reply(connection, message)

    def give_back(self, connection: ConnectionId, asked: Asked, reason: str) -> None:
        """Another lane is to go on with the request."""
        self.note(asked, f"returned: {reason}")
        self.reply(connection, Returned(asked.request, reason))

    def note(self, asked: Asked, text: str) -> None:
        """A line for the log, under the client's id, if any, and that by which the gateway knows this attempt at it."""
        id_ = asked.request.hex()
        self.notes.append(f"request {f'{asked.name} as {id_}' if asked.name else id_} {text}")
