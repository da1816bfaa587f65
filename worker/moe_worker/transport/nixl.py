"""TCP as in tcp.py, but large payloads are fetched out of the sender's memory with NIXL; the protocol sees no
difference.

The connection keeps everything else: who the peer is, the order of messages, and death. A large message is announced
in its place as a Parcel, whatever comes behind it on that connection waits until it has been fetched, and what cannot
be fetched ends the connection. Peers that cannot fetch get everything on the connection.
"""

from collections import deque
from dataclasses import replace
from typing import Any

from moe_wire.errors import WireError
from moe_wire.handshake import Identity
from moe_wire.messages import Fetched, Hello, Message, Parcel, Source, Welcome
from moe_worker.protocol.transport import Answered, Arrived, ConnectionClosed, Event, Lost
from moe_worker.transport.connection import Connection, Phase
from moe_worker.transport.nixl_agent import Agent, FetchError, agent_name
from moe_worker.transport.nixl_incoming import Incoming
from moe_worker.transport.nixl_landing import Landing
from moe_worker.transport.nixl_shelf import Shelf
from moe_worker.transport.nixl_slab import Slab
from moe_worker.transport.peers import ANSWERS, REQUESTS, Inbound, Outbound
from moe_worker.transport.tcp import TcpTransport

SPIN_S = 0.002
"""How long after an announcement the loop does not wait at all: most fetches take less."""
NAP_S = 0.001
"""How long it waits at most while something is under way, for NIXL wakes nobody."""


SLAB_BYTES = 64 * 1024 * 1024
LEAST_BYTES = 16 * 1024


def open_nixl(
    *, identity: Identity, slab_bytes: int = SLAB_BYTES, least_bytes: int = LEAST_BYTES, **tcp: Any
) -> "NixlTransport":
    """`slab_bytes` is how much may wait to be fetched, and as much may be on its way in; what is smaller than
    `least_bytes` stays on the connection; `tcp` is what else TcpTransport takes. Raises TransportError where NIXL
    cannot be had.
    """
    agent = Agent(agent_name(identity.rank, identity.pod_uid, identity.incarnation))
    slab = Slab(slab_bytes)
    shelf = Shelf(slab, agent.metadata(agent.register(slab)), least_bytes)
    incoming = Incoming(agent, Landing(agent, slab_bytes))
    return NixlTransport(agent=agent, shelf=shelf, incoming=incoming, identity=identity, **tcp)


class NixlTransport(TcpTransport):
    """`shelf` has what peers are to fetch, `incoming` what this rank fetches. All else is TcpTransport's."""

    def __init__(self, *, agent: Agent, shelf: Shelf, incoming: Incoming, **tcp: Any) -> None:
        super().__init__(**tcp)
        self.shelf = shelf
        self.incoming = incoming
        self._agent = agent
        self._names: dict[Connection, str] = {}
        self._held: dict[tuple[bool, int], deque[Answered | Arrived]] = {}
        self._announced_at = 0.0

    def poll(self, timeout: float) -> list[Event]:
        events = super().poll(self._patience(timeout))
        self._fetch()
        return self._in_order(events)

    def _patience(self, timeout: float) -> float:
        is_fetching = bool(self.incoming.fetching())
        if not is_fetching and not self.shelf.is_waiting():
            return timeout
        self._agent.progress()
        if is_fetching and self._clock() - self._announced_at < SPIN_S:
            return 0.0
        return min(timeout, NAP_S)

    def _queue(self, connection: Connection, message: Message) -> None:
        super()._queue(connection, self.shelf.pack(connection, message))

    def _welcomed(self, connection: Outbound, hello: Hello, welcome: Welcome) -> None:
        super()._welcomed(connection, hello, welcome)
        self._introduce(connection, agent_name(welcome.rank, welcome.pod_uid, welcome.incarnation))

    def _admit(self, connection: Inbound, hello: Hello) -> None:
        super()._admit(connection, hello)
        if hello.kind == "rank":
            self._introduce(connection, agent_name(hello.rank, hello.pod_uid, hello.incarnation))

    def _introduce(self, connection: Connection, name: str) -> None:
        if connection.phase is Phase.OPEN:
            self._names[connection] = name
            source = self.shelf.introduce(connection)
            if source is not None:
                self._queue(connection, source)
                self._write(connection)

    def _greet(self, connection: Outbound, message: Message) -> None:
        if not self._is_about_parcels(connection, message, Answered(connection.peer, message)):
            super()._greet(connection, message)

    def _be_greeted(self, connection: Inbound, message: Message) -> None:
        if not self._is_about_parcels(connection, message, Arrived(connection.id, message)):
            super()._be_greeted(connection, message)

    def _is_about_parcels(self, connection: Connection, message: Message, event: Answered | Arrived) -> bool:
        """Whether that is all there was to do. Raises WireError."""
        name = self._names.get(connection)
        if name is None:
            return False
        if isinstance(message, Parcel):
            self._announced_at = self._clock()
            self.incoming.expect(connection, message, self._announced_at)
            self._events.append(event)
        elif isinstance(message, Fetched):
            self.shelf.fetched(connection, message.stamp)
        elif isinstance(message, Source):
            self._announced_at = self._clock()
            self._accept_source(connection, name, message)
        else:
            return False
        return True

    def _accept_source(self, connection: Connection, name: str, source: Source) -> None:
        try:
            self.incoming.accept(connection, name, source, self._announced_at)
        except FetchError as error:
            self._refuse(connection, error)

    def _refuse(self, connection: Connection, error: FetchError) -> None:
        """Nothing can be fetched from this peer: it is to send everything on the connection."""
        self._log(f"{self._names[connection]} sends over TCP alone: {error}")
        self.incoming.end(connection)
        self._queue(connection, Fetched(0))

    def _end(self, connection: Connection, reason: str) -> None:
        self._names.pop(connection, None)
        self.shelf.end(connection)
        self.incoming.end(connection)
        super()._end(connection, reason)

    def close(self) -> None:
        for connection in self.incoming.fetching():
            self.incoming.end(connection)
        super().close()

    def _fetch(self) -> None:
        for connection in self.incoming.fetching():
            try:
                allowed = ANSWERS if isinstance(connection, Outbound) else REQUESTS["rank"]
                for stamp in self.incoming.advance(connection, allowed, self._clock()):
                    self._queue(connection, Fetched(stamp))
            except FetchError as error:
                if self.incoming.is_trying(connection):
                    self._refuse(connection, error)
                else:
                    self._end(connection, str(error))
            except WireError as error:
                self._end(connection, str(error))
            if connection.phase is Phase.OPEN:
                self._write(connection)

    def _in_order(self, events: list[Event]) -> list[Event]:
        """All but those that come behind a parcel, on its connection, that is not here yet."""
        told: list[Event] = []
        for event in events:
            key = _key(event)
            if isinstance(event, Answered | Arrived) and (key in self._held or isinstance(event.message, Parcel)):
                self._held.setdefault(key, deque()).append(event)
                continue
            if isinstance(event, Lost | ConnectionClosed):
                self._held.pop(key, None)
            told.append(event)
        for key, held in list(self._held.items()):
            told += self._release(held)
            if not held:
                del self._held[key]
        return told

    def _release(self, held: deque[Answered | Arrived]) -> list[Event]:
        """From the front what is here, parcels as the messages that they were sent as."""
        told: list[Event] = []
        while held:
            event = held[0]
            if isinstance(event.message, Parcel):
                message = self._landed(event, event.message)
                if message is None:
                    break
                event = replace(event, message=message)
            told.append(event)
            held.popleft()
        return told

    def _landed(self, event: Answered | Arrived, parcel: Parcel) -> Message | None:
        """The parcel's message; None while it is not here, and when its connection has ended."""
        if isinstance(event, Answered):
            connection: Connection | None = self._outbound.get(event.peer)
        else:
            connection = self._inbound.get(event.connection)
        return None if connection is None else self.incoming.take(connection, parcel.stamp)


def _key(event: Event) -> tuple[bool, int]:
    """Which connection it is about: one that was dialled, by its peer, or one that was accepted."""
    if isinstance(event, Arrived | ConnectionClosed):
        return False, event.connection
    return True, event.peer
