"""The shelf of one process and a fetch of another, with copies in memory in NIXL's place, so that each may be halted
where it hurts.
"""

import ctypes
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from moe_wire.errors import WireError
from moe_wire.framing import encode
from moe_wire.messages import Dispatch, DType, Parcel, Payload, Reset, Source
from moe_worker.transport.connection import Connection, Phase
from moe_worker.transport.nixl_agent import FetchError
from moe_worker.transport.nixl_fetch import Fetch, Offer
from moe_worker.transport.nixl_landing import Landing
from moe_worker.transport.nixl_shelf import STAMP_BYTES, Shelf
from moe_worker.transport.nixl_slab import Slab

SLAB_BYTES = 1 << 16


@dataclass
class Copy:
    """Copies when it is told to."""

    address: int
    num_bytes: int
    into: int
    is_over: bool = False

    def run(self) -> None:
        ctypes.memmove(self.into, self.address, self.num_bytes)
        self.is_over = True

    def is_done(self) -> bool:
        return self.is_over

    def drop(self) -> None:
        pass


@dataclass
class Memory:
    """An agent of the own process."""

    copies: list[Copy] = field(default_factory=list)

    def register(self, slab: Slab) -> Any:
        return slab

    def deregister(self, registered: Any) -> None:
        pass

    def read(self, name: str, address: int, num_bytes: int, into: int) -> Copy:
        self.copies.append(Copy(address, num_bytes, into))
        return self.copies[-1]


@dataclass
class Side:
    shelf: Shelf
    connection: Connection
    source: Source


@pytest.fixture
def sender() -> Iterator[Side]:
    """Whose peer has shown already that it can fetch."""
    shelf = Shelf(Slab(SLAB_BYTES), b"", 1)
    with socket.socket() as sock:
        connection = Connection(sock, Phase.OPEN, 0.0, 1)
        source = shelf.introduce(connection)
        assert source is not None
        shelf.fetched(connection, source.stamp)
        yield Side(shelf, connection, source)


def dispatch(letter: bytes, num_bytes: int = 1024) -> Dispatch:
    return Dispatch(0, 1, 2, 3, 4, 5, Payload(DType.FLOAT32, (1, num_bytes // 4), letter * num_bytes))


def parcel(sender: Side, message: Dispatch) -> Parcel:
    packed = sender.shelf.pack(sender.connection, message)
    assert isinstance(packed, Parcel)
    return packed


def fetch(memory: Memory, sender: Side, what: Parcel, landing: Landing | None = None) -> Fetch:
    offer = Offer(name="sender", source=sender.source)
    return Fetch(memory, landing or Landing(memory, SLAB_BYTES), offer, what)  # type: ignore[arg-type]  # no NIXL


def finish(coming: Fetch, memory: Memory) -> None:
    while not coming.advance():
        memory.copies[-1].run()


def test_a_payload_is_read_and_then_its_stamp(sender: Side) -> None:
    memory = Memory()
    coming = fetch(memory, sender, parcel(sender, dispatch(b"a")))
    assert not coming.advance()
    assert [copy.num_bytes for copy in memory.copies] == [1024]
    memory.copies[0].run()
    assert not coming.advance()
    assert [copy.num_bytes for copy in memory.copies] == [1024, 8]
    memory.copies[1].run()
    assert coming.advance()
    assert coming.take() == dispatch(b"a")


@pytest.mark.parametrize("num_read", [0, 1])
def test_memory_used_anew_before_or_after_the_payload_was_read_is_not_delivered(sender: Side, num_read: int) -> None:
    memory = Memory()
    coming = fetch(memory, sender, parcel(sender, dispatch(b"a")))
    coming.advance()
    for copy in memory.copies[:num_read]:
        copy.run()
        coming.advance()
    sender.shelf.end(sender.connection)
    again = sender.shelf.introduce(sender.connection)
    assert again is not None
    sender.shelf.fetched(sender.connection, again.stamp)
    parcel(sender, dispatch(b"b"))
    memory.copies[num_read].run()
    with pytest.raises(FetchError, match="is no longer there"):
        finish(coming, memory)


def test_bytes_that_come_after_a_fetch_was_given_up_harm_no_other_fetch(sender: Side) -> None:
    memory = Memory()
    landing = Landing(memory, SLAB_BYTES)
    given_up = fetch(memory, sender, parcel(sender, dispatch(b"a")), landing)
    given_up.advance()
    given_up.drop()
    coming = fetch(memory, sender, parcel(sender, dispatch(b"b")), landing)
    coming.advance()
    late, payload = memory.copies
    payload.run()
    coming.advance()
    late.run()
    memory.copies[2].run()
    assert coming.advance()
    assert coming.take() == dispatch(b"b")


def test_a_fetch_waits_for_room_to_land(sender: Side) -> None:
    memory = Memory()
    landing = Landing(memory, 2048)
    first = fetch(memory, sender, parcel(sender, dispatch(b"a")), landing)
    second = fetch(memory, sender, parcel(sender, dispatch(b"b")), landing)
    assert not first.advance()
    assert not second.advance()
    assert len(memory.copies) == 1
    first.drop()
    assert not second.advance()
    assert len(memory.copies) == 2


@pytest.mark.parametrize("offset", [SLAB_BYTES - STAMP_BYTES - 1023, SLAB_BYTES, 2**64 - 1])
def test_nothing_outside_the_memory_offered_is_read(sender: Side, offset: int) -> None:
    memory = Memory()
    head = bytes(encode(dispatch(b"a"))[0])
    fetch(memory, sender, Parcel(head, SLAB_BYTES - STAMP_BYTES - 1024, 1))
    with pytest.raises(WireError, match=f"a parcel of 1024 bytes at {offset}"):
        fetch(memory, sender, Parcel(head, offset, 1))
    assert memory.copies == []


def test_a_parcel_is_a_message_with_rows_and_no_other(sender: Side) -> None:
    memory = Memory()
    true = parcel(sender, dispatch(b"a"))
    head = bytes(encode(Reset(0, 1))[0])
    coming = fetch(memory, sender, Parcel(head, true.offset, true.stamp))
    finish(coming, memory)
    with pytest.raises(WireError, match="no message with rows"):
        coming.take()
