import socket
from collections.abc import Iterator

import pytest

from moe_wire.errors import WireError
from moe_wire.messages import Dispatch, DType, Parcel, Payload, Reset
from moe_worker.transport.connection import Connection, Phase
from moe_worker.transport.nixl_shelf import STAMP_BYTES, Shelf
from moe_worker.transport.nixl_slab import Slab


@pytest.fixture
def connection() -> Iterator[Connection]:
    with socket.socket() as sock:
        yield Connection(sock, Phase.OPEN, 0.0, 1)


@pytest.fixture
def slab() -> Slab:
    return Slab(4096)


def dispatch(num_bytes: int) -> Dispatch:
    return Dispatch(0, 1, 2, 3, 4, 5, Payload(DType.FLOAT32, (1, num_bytes // 4), b"r" * num_bytes))


def introduced(shelf: Shelf, connection: Connection) -> int:
    source = shelf.introduce(connection)
    assert source is not None
    return source.stamp


def test_nothing_is_put_there_for_a_peer_that_has_not_shown_that_it_can_fetch(
    slab: Slab, connection: Connection
) -> None:
    shelf = Shelf(slab, b"", 256)
    assert shelf.pack(connection, dispatch(256)) == dispatch(256)
    stamp = introduced(shelf, connection)
    assert shelf.pack(connection, dispatch(256)) == dispatch(256)
    shelf.fetched(connection, stamp)
    assert isinstance(shelf.pack(connection, dispatch(256)), Parcel)


def test_a_peer_that_says_it_cannot_fetch_gets_no_parcels(slab: Slab, connection: Connection) -> None:
    shelf = Shelf(slab, b"", 256)
    introduced(shelf, connection)
    shelf.fetched(connection, 0)
    assert shelf.pack(connection, dispatch(256)) == dispatch(256)
    assert not shelf.is_waiting()


def test_only_large_rows_become_parcels_and_only_while_there_is_room(slab: Slab, connection: Connection) -> None:
    shelf = Shelf(slab, b"", 256)
    shelf.fetched(connection, introduced(shelf, connection))
    assert shelf.pack(connection, Reset(0, 1)) == Reset(0, 1)
    assert shelf.pack(connection, dispatch(252)) == dispatch(252)
    parcel = shelf.pack(connection, dispatch(4096 - STAMP_BYTES))
    assert isinstance(parcel, Parcel)
    assert bytes(slab.view(parcel.offset + STAMP_BYTES, 4)) == b"rrrr"
    assert shelf.pack(connection, dispatch(256)) == dispatch(256)
    shelf.fetched(connection, parcel.stamp)
    assert isinstance(shelf.pack(connection, dispatch(256)), Parcel)


def test_the_stamp_is_wiped_when_the_connection_ends(slab: Slab, connection: Connection) -> None:
    shelf = Shelf(slab, b"", 256)
    shelf.fetched(connection, introduced(shelf, connection))
    parcel = shelf.pack(connection, dispatch(256))
    assert isinstance(parcel, Parcel)
    assert int.from_bytes(slab.view(parcel.offset, 8), "little") == parcel.stamp
    shelf.end(connection)
    assert bytes(slab.view(parcel.offset, 8)) == bytes(8)
    assert not shelf.is_waiting()
    assert shelf.num_readers() == 0


def test_what_does_not_wait_cannot_be_fetched_and_nothing_twice(slab: Slab, connection: Connection) -> None:
    shelf = Shelf(slab, b"", 256)
    stamp = introduced(shelf, connection)
    shelf.fetched(connection, stamp)
    with pytest.raises(WireError, match=f"no parcel {stamp} waits"):
        shelf.fetched(connection, stamp)
    with pytest.raises(WireError, match="no parcel 0 waits"):
        shelf.fetched(connection, 0)
