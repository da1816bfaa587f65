"""Dispatch and Result on the wire, which a rank exchanges thousands of times a second: frame's prefix, name and shape
in one struct.

Where the rows are no matrix, which no rank sends, name and shape are packed one after the other.
"""

import struct
from collections.abc import Callable

from moe_wire.fields import DTYPES, ITEM_BYTES, PREFIX_LAYOUT, Reader, pack_shape
from moe_wire.messages import Dispatch, Payload, Result

RowMessage = Dispatch | Result

NAME = struct.Struct("<IQQIII")
"""lane, term, step, layer, expert, attempt"""

_NAME_2D = struct.Struct("<IQQIIIBBII")
_FRAME_2D = struct.Struct(PREFIX_LAYOUT + "IQQIIIBBII")


def frame_head(message: RowMessage, kind: int) -> bytes:
    """The frame up to its payload, which must be a matrix; struct.error where a number does not fit."""
    rows = message.rows
    num_rows, width = rows.shape
    return _FRAME_2D.pack(
        _NAME_2D.size, len(rows.data), kind, message.lane, message.term, message.step, message.layer, message.expert,
        message.attempt, rows.dtype, 2, num_rows, width,
    )  # fmt: skip


def pack_rows(message: RowMessage) -> bytes:
    """The header alone, whatever the shape."""
    name = NAME.pack(message.lane, message.term, message.step, message.layer, message.expert, message.attempt)
    return name + pack_shape(message.rows)


def unpack_rows(make: Callable[..., RowMessage]) -> Callable[[memoryview, memoryview], RowMessage]:
    """What unpacks a Dispatch, or a Result."""

    def unpack(header: memoryview, data: memoryview) -> RowMessage:
        if len(header) == _NAME_2D.size:
            lane, term, step, layer, expert, attempt, code, num_dims, num_rows, width = _NAME_2D.unpack(header)
            if num_dims == 2 and num_rows * width * ITEM_BYTES.get(code, 0) == len(data):
                return make(lane, term, step, layer, expert, attempt, Payload(DTYPES[code], (num_rows, width), data))
        reader = Reader(header)
        name = reader.take(NAME)
        rows = reader.payload(data)
        reader.end()
        return make(*name, rows)

    return unpack
