"""Who can be reached now. What a rank says to itself loops back in memory, through the same handlers as all else."""

from collections import deque

from moe_wire.messages import Message
from moe_worker.protocol.transport import Answered, Arrived, ConnectionId, Transport

LOCAL: ConnectionId = 0
"""The connection over which a rank talks to itself. It exists always and is never lost."""


class Links:
    """The transport as the rest of the core sees it: one peer is like another, its own rank included.

    `looped` is what this rank has said to itself and not heard yet, oldest first.
    """

    def __init__(self, own_rank: int, transport: Transport) -> None:
        self.own_rank = own_rank
        self._transport = transport
        self._incarnations: dict[int, int] = {}
        self.looped: deque[Arrived | Answered] = deque()

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
