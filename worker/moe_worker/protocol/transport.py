"""What the protocol asks of the network, and what it hears from it.

Connections are simplex in initiative: a rank dials a peer to ask, the peer only answers. So the loss of the connection
that this rank dialled is exactly the loss of what it has outstanding there. Each connection delivers in order and
without gaps until it is lost. Production is tcp.py, the simulation has its own; nothing here knows bytes or addresses.
"""

from dataclasses import dataclass
from typing import Protocol

from moe_wire.messages import Message

ConnectionId = int
"""Names an inbound connection for its life; never used again for another. Positive."""


class Transport(Protocol):
    """Both calls queue and return at once, and may drop silently a message for a connection that has just ended: the
    event says so.

    A call into the core (on_event, run_one, ...) may send several messages to one peer; flushing after it returns
    writes them at once.
    """

    def send(self, peer: int, message: Message) -> None:
        """Ask, on the connection that this rank dialled: between Connected(peer) and Lost(peer), never its own rank."""

    def reply(self, connection: ConnectionId, message: Message) -> None:
        """Answer on an inbound connection."""


# About connections that this rank dialled.


@dataclass(frozen=True, slots=True)
class Connected:
    """The handshake with a peer is done. `incarnation` is the peer's. Lost comes before the peer's next Connected."""

    peer: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection to the peer ended, for whatever reason, also when it was no longer wanted."""

    peer: int


@dataclass(slots=True)  # not frozen: made for every message
class Answered:
    """The peer replied: Result, NotHere or Broken."""

    peer: int
    message: Message


# About connections that were accepted, from ranks and from gateways.


@dataclass(slots=True)  # not frozen: made for every message
class Arrived:
    """A request came in: Dispatch, Step, Tokens or Reset from a rank, Submit or Cancel from a gateway."""

    connection: ConnectionId
    message: Message


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """An accepted connection ended."""

    connection: ConnectionId


Event = Connected | Lost | Answered | Arrived | ConnectionClosed
