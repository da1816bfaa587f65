"""Packed parts of a header: integers, short texts, lists of integers, arrays' shapes. Little endian; no JSON, no
pickle.
"""

import struct
from collections.abc import Sequence

from moe_wire.errors import WireError
from moe_wire.messages import DType, Payload

ITEM_BYTES: dict[int, int] = {DType.FLOAT32: 4, DType.BFLOAT16: 2, DType.FLOAT16: 2, DType.INT64: 8}
DTYPES = {int(dtype): dtype for dtype in DType}

PREFIX_LAYOUT = "<IIB"
"""Of every frame: the header's length, the payload's length, the message's kind."""

_COUNT = struct.Struct("<I")
_NO_INTEGERS = _COUNT.pack(0)
_ARRAY = struct.Struct("<BB")
_ARRAY_2D = struct.Struct("<BBII")
_DIMS_2 = struct.Struct("<II")


def pack_integers(values: Sequence[int]) -> bytes:
    """A count and that many u32."""
    if not values:
        return _NO_INTEGERS
    return struct.pack(f"<I{len(values)}I", len(values), *values)


def pack_bytes(value: bytes) -> bytes:
    return _COUNT.pack(len(value)) + value


def pack_text(value: str) -> bytes:
    return pack_bytes(value.encode())


def pack_shape(payload: Payload) -> bytes:
    """dtype u8, number of dimensions u8, each dimension u32."""
    shape = payload.shape
    if len(shape) == 2:
        return _ARRAY_2D.pack(payload.dtype, 2, shape[0], shape[1])
    return struct.pack(f"<BB{len(shape)}I", payload.dtype, len(shape), *shape)


class Reader:
    """Takes parts off a header, in order. What does not fit is a WireError or a struct.error, which the decoder
    makes one.
    """

    __slots__ = ("_header", "_offset")

    def __init__(self, header: memoryview, offset: int = 0) -> None:
        self._header = header
        self._offset = offset

    def take(self, layout: struct.Struct) -> tuple[int, ...]:
        values = layout.unpack_from(self._header, self._offset)
        self._offset += layout.size
        return values

    def expect(self, num_bytes: int) -> None:
        """WireError unless so many are left: a count is judged before anything is made for it."""
        if num_bytes > len(self._header) - self._offset:
            raise WireError(f"a list of {num_bytes} bytes in a header of {len(self._header)} bytes")

    def integers(self) -> tuple[int, ...]:
        (count,) = self.take(_COUNT)
        if not count:
            return ()
        self.expect(count * 4)
        return self.take(struct.Struct(f"<{count}I"))

    def part(self, num_bytes: int) -> "bytes":
        """So many bytes, as they are."""
        self.expect(num_bytes)
        start, self._offset = self._offset, self._offset + num_bytes
        return self._header[start : self._offset].tobytes()

    def rest(self) -> "bytes":
        """All that has not been taken, without taking it."""
        return self._header[self._offset :].tobytes()

    def bytes(self) -> "bytes":
        (count,) = self.take(_COUNT)
        end = self._offset + count
        if end > len(self._header):
            raise WireError(f"a text of {count} bytes in a header of {len(self._header)} bytes")
        value = self._header[self._offset : end].tobytes()
        self._offset = end
        return value

    def text(self) -> str:
        try:
            return self.bytes().decode()
        except UnicodeDecodeError as error:
            raise WireError(f"a text that is not UTF-8: {error}") from error

    def payload(self, data: memoryview) -> Payload:
        """The shape from here, the numbers from `data`, which must be exactly as long as the shape says."""
        code, num_dims = self.take(_ARRAY)
        shape = self.take(_DIMS_2 if num_dims == 2 else struct.Struct(f"<{num_dims}I"))
        return make_payload(code, shape, data)

    def end(self) -> None:
        if self._offset != len(self._header):
            raise WireError(f"{len(self._header) - self._offset} bytes too many in a header")


def make_payload(code: int, shape: tuple[int, ...], data: memoryview) -> Payload:
    dtype = DTYPES.get(code)
    if dtype is None:
        raise WireError(f"number type {code} is unknown; known are {sorted(DTYPES)}")
    num_bytes = ITEM_BYTES[dtype]
    for size in shape:
        num_bytes *= size
    if num_bytes != len(data):
        raise WireError(f"shape {shape} of {dtype.name} needs {num_bytes} bytes, the payload has {len(data)}")
    return Payload(dtype, shape, data)
