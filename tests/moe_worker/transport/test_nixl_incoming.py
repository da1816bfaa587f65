import socket

import pytest

from moe_wire.errors import WireError
from moe_wire.messages import Parcel, Source
from moe_worker.transport.connection import Connection, Phase
from moe_worker.transport.nixl_agent import FetchError
from moe_worker.transport.nixl_incoming import FETCH_LIMIT_S, Incoming
from moe_worker.transport.nixl_landing import Landing
from tests.moe_worker.transport.test_nixl_fetch import Memory


class Known(Memory):
    """Knows every agent."""

    def add(self, name: str, metadata: bytes) -> None:
        pass

    def remove(self, name: str) -> None:
        pass


def test_a_fetch_that_nothing_comes_of_is_given_up_after_a_while() -> None:
    agent = Known()
    incoming = Incoming(agent, Landing(agent, 4096))  # type: ignore[arg-type]  # no NIXL
    with socket.socket() as sock:
        connection = Connection(sock, Phase.OPEN, 0.0, 1)
        incoming.accept(connection, "peer", Source(b"", 0, 4096, 0, 7), 100.0)
        assert incoming.advance(connection, (), 100.0 + FETCH_LIMIT_S) == []
        with pytest.raises(FetchError, match="nothing could be read for 15 s"):
            incoming.advance(connection, (), 100.1 + FETCH_LIMIT_S)


def test_nothing_is_fetched_from_who_has_offered_nothing() -> None:
    agent = Known()
    incoming = Incoming(agent, Landing(agent, 4096))  # type: ignore[arg-type]  # no NIXL
    with socket.socket() as sock, pytest.raises(WireError, match="without a Source"):
        incoming.expect(Connection(sock, Phase.OPEN, 0.0, 1), Parcel(b"head", 0, 7), 0.0)
