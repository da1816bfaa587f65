"""What others are to fetch: payloads copied into a registered slab, each under a stamp, until they were fetched or
their connection ended.

A stamp is wiped before its memory is used anew. So who reads a payload, and after it its stamp, knows that it read
the payload whole, however late it came.
"""

import os
import struct

from moe_wire.errors import WireError
from moe_wire.framing import encode
from moe_wire.messages import Dispatch, Message, Parcel, Payload, Result, Source, Step
from moe_worker.transport.connection import Connection
from moe_worker.transport.nixl_slab import Slab

STAMP = struct.Struct("<Q")
STAMP_BYTES = 64
"""What a parcel has before its payload; more than the stamp so that payloads are aligned."""


class Shelf:
    """`slab` is registered under `metadata`; payloads from `least_bytes` on are worth a parcel."""

    def __init__(self, slab: Slab, metadata: bytes, least_bytes: int) -> None:
        self._slab = slab
        self._metadata = metadata
        self._least_bytes = least_bytes
        self._next_stamp = int.from_bytes(os.urandom(6), "little") + 1
        self._waiting: dict[Connection, dict[int, int]] = {}
        self._probes: dict[Connection, int] = {}
        self._readers: set[Connection] = set()

    def is_waiting(self) -> bool:
        """Whether somebody has still to fetch something."""
        return any(self._waiting.values())

    def num_readers(self) -> int:
        """On how many connections the peer has shown that it can fetch."""
        return len(self._readers)

    def introduce(self, connection: Connection) -> Source | None:
        """What to tell the peer so that it may fetch; None when the slab is full: no parcels for this one."""
        stamp = self._put(connection, memoryview(b""))
        if stamp is None:
            return None
        self._probes[connection] = stamp
        offset = self._waiting[connection][stamp]
        return Source(self._metadata, self._slab.address, self._slab.num_bytes, offset, stamp)

    def pack(self, connection: Connection, message: Message) -> Message:
        """The message itself where its payload is small, the slab is full or the peer cannot fetch, else a parcel."""
        payload = _payload_of(message) if connection in self._readers else None
        data = memoryview(b"" if payload is None else payload.data)
        if payload is None or data.nbytes < self._least_bytes:
            return message
        stamp = self._put(connection, data)
        if stamp is None:
            return message
        return Parcel(bytes(encode(message)[0]), self._waiting[connection][stamp], stamp)

    def fetched(self, connection: Connection, stamp: int) -> None:
        """The peer says so. Raises WireError when nothing waits for it under that stamp."""
        probe = self._probes.pop(connection, 0)
        place = self._waiting.get(connection, {}).pop(stamp or probe, None)
        if place is None:
            raise WireError(f"no parcel {stamp} waits for it")
        if stamp and stamp == probe:
            self._readers.add(connection)
        self._free(place)

    def end(self, connection: Connection) -> None:
        """The connection is no more: nobody is to take any of its parcels for valid."""
        self._readers.discard(connection)
        self._probes.pop(connection, None)
        for offset in self._waiting.pop(connection, {}).values():
            self._free(offset)

    def _put(self, connection: Connection, data: memoryview) -> int | None:
        offset = self._slab.take(STAMP_BYTES + data.nbytes)
        if offset is None:
            return None
        stamp = self._next_stamp
        self._next_stamp += 1
        self._slab.view(offset + STAMP_BYTES, data.nbytes)[:] = data.cast("B")
        STAMP.pack_into(self._slab.view(offset, STAMP.size), 0, stamp)
        self._waiting.setdefault(connection, {})[stamp] = offset
        connection.bytes_sent += data.nbytes
        return stamp

    def _free(self, offset: int) -> None:
        STAMP.pack_into(self._slab.view(offset, STAMP.size), 0, 0)
        self._slab.give(offset)


def _payload_of(message: Message) -> Payload | None:
    if isinstance(message, Dispatch | Result):
        return message.rows
    return message.hidden if isinstance(message, Step) else None
