"""Which parcels are on their way in on which connection, and whose memory may be read at all."""

from collections.abc import Collection

from moe_wire.errors import WireError
from moe_wire.messages import Parcel, Source
from moe_worker.transport.connection import Connection
from moe_worker.transport.nixl_agent import Agent, FetchError
from moe_worker.transport.nixl_fetch import Fetch, Offer, Rows
from moe_worker.transport.nixl_landing import Landing

FETCH_LIMIT_S = 15.0


class Incoming:
    """An agent is known as long as one of the connections to its process lives."""

    def __init__(self, agent: Agent, landing: Landing) -> None:
        self._agent = agent
        self._landing = landing
        self._offers: dict[Connection, Offer] = {}
        self._fetches: dict[Connection, dict[int, Fetch]] = {}
        self._landed: dict[Connection, dict[int, Rows]] = {}
        self._deadlines: dict[Connection, float] = {}

    def accept(self, connection: Connection, name: str, source: Source, now: float) -> None:
        """The peer lets us read; begin with a trial. Raises FetchError or WireError."""
        if connection in self._offers:
            raise WireError("a second Source")
        if not self._is_known(name):
            self._agent.add(name, source.metadata)
        self._offers[connection] = Offer(name=name, source=source)
        self._begin(connection, Parcel(b"", source.offset, source.stamp), now)

    def expect(self, connection: Connection, parcel: Parcel, now: float) -> None:
        """Begin to fetch it. Raises WireError."""
        if connection not in self._offers or parcel.stamp in self._fetches.get(connection, {}) or not parcel.head:
            raise WireError(f"parcel {parcel.stamp} without a Source, for the second time, or without a message")
        self._begin(connection, parcel, now)

    def fetching(self) -> list[Connection]:
        """Connections on which something is under way."""
        return [connection for connection, fetches in self._fetches.items() if fetches]

    def is_trying(self, connection: Connection) -> bool:
        """Whether the trial is still to succeed."""
        return any(not fetch.parcel.head for fetch in self._fetches.get(connection, {}).values())

    def advance(self, connection: Connection, allowed: Collection[type], now: float) -> list[int]:
        """The stamps of the parcels that are here now. Raises FetchError, also when none has come for long, or
        WireError for a message that is not `allowed`.
        """
        fetches = self._fetches[connection]
        done = [stamp for stamp, fetch in fetches.items() if fetch.advance()]
        if done:
            self._deadlines[connection] = now + FETCH_LIMIT_S
        elif now > self._deadlines[connection]:
            raise FetchError(f"nothing could be read for {FETCH_LIMIT_S:g} s")
        for stamp in done:
            fetch = fetches.pop(stamp)
            message = fetch.take()
            if message is not None:
                if type(message) not in allowed:
                    raise WireError(f"a {type(message).__name__} in a parcel")
                connection.bytes_received += fetch.num_bytes
                self._landed.setdefault(connection, {})[stamp] = message
        if not fetches:
            del self._deadlines[connection]
        return done

    def take(self, connection: Connection, stamp: int) -> Rows | None:
        """The message of a parcel, None while it is not here."""
        return self._landed.get(connection, {}).pop(stamp, None)

    def end(self, connection: Connection) -> None:
        """The connection is no more, or nothing can be fetched over it."""
        for fetch in self._fetches.pop(connection, {}).values():
            fetch.drop()
        self._landed.pop(connection, None)
        self._deadlines.pop(connection, None)
        offer = self._offers.pop(connection, None)
        if offer is not None and not self._is_known(offer.name):
            self._agent.remove(offer.name)

    def _begin(self, connection: Connection, parcel: Parcel, now: float) -> None:
        fetch = Fetch(self._agent, self._landing, self._offers[connection], parcel)
        self._fetches.setdefault(connection, {})[parcel.stamp] = fetch
        self._deadlines.setdefault(connection, now + FETCH_LIMIT_S)

    def _is_known(self, name: str) -> bool:
        return any(offer.name == name for offer in self._offers.values())
