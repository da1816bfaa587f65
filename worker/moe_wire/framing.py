"""Messages to bytes and back: a frame is a fixed prefix, a packed header and, for messages that carry rows, raw
numbers.

The prefix is the header's length (u32), the payload's length (u32) and the message's kind (u8), little endian. Knows no
sockets; what the numbers mean is codecs.py's business.
"""

import struct

from moe_wire.codecs import CODECS, UNPACKERS
from moe_wire.errors import WireError
from moe_wire.fields import PREFIX_LAYOUT
from moe_wire.messages import Dispatch, Message, Payload, Result, Step
from moe_wire.rows import frame_head

PREFIX = struct.Struct(PREFIX_LAYOUT)
MAX_FRAME_BYTES = 256 * 1024 * 1024
MAX_GREETING_BYTES = 4096

Buffer = bytes | memoryview


def encode(message: Message) -> list[Buffer]:
    """The frame as buffers for sendmsg: prefix with header, then the payload's own memory, which is not copied."""
    try:
        return _encode(message)
    except (struct.error, UnicodeEncodeError, ValueError) as error:
        raise WireError(f"{type(message).__name__} cannot be sent: {error}") from error


def _encode(message: Message) -> list[Buffer]:
    codec = CODECS[type(message)]
    payload: Payload | None = None
    if isinstance(message, (Dispatch, Result)):
        payload = message.rows
        if len(payload.shape) == 2:
            return [frame_head(message, codec.kind), payload.data]
    elif isinstance(message, Step):
        payload = message.hidden
    header = codec.pack(message)
    if payload is None:
        return [PREFIX.pack(len(header), 0, codec.kind) + header]
    return [PREFIX.pack(len(header), len(payload.data), codec.kind) + header, payload.data]


def payload_bytes_of(head: bytes) -> int:
    """How long the payload of a frame is, said by its prefix and header alone. Raises WireError."""
    if len(head) < PREFIX.size:
        raise WireError(f"a head of {len(head)} bytes; a frame has a prefix of {PREFIX.size}")
    header_bytes, payload_bytes, _ = PREFIX.unpack_from(head)
    if PREFIX.size + header_bytes != len(head):
        raise WireError(f"a head of {len(head)} bytes that announces a header of {header_bytes}")
    return int(payload_bytes)


class Decoder:
    """Takes a connection's bytes as they come, gives the messages that are complete.

    A message whose bytes came whole refers to the memory that was fed; one that came in pieces is copied once.
    Payloads are read-only, and aligned to nothing. `max_frame_bytes` may be raised when the peer has proved who it
    is.
    """

    __slots__ = ("_filled", "_frame", "_head", "max_frame_bytes")

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self.max_frame_bytes = max_frame_bytes
        self._head = b""
        self._frame: bytearray | None = None
        self._filled = 0

    def feed(self, data: bytes) -> list[Message]:
        """Raises WireError at the first byte that cannot belong to a message; the connection is useless then."""
        messages: list[Message] = []
        offset = 0
        if self._frame is not None:
            offset = self._fill(self._frame, data)
            if self._frame is not None and self._filled < len(self._frame):
                return messages
            frame = memoryview(self._frame).toreadonly()
            header_bytes, _, kind = PREFIX.unpack_from(frame)
            messages.append(_decode(kind, frame, 0, PREFIX.size + header_bytes, len(frame)))
            self._frame = None
        elif self._head:
            data = self._head + data
            self._head = b""
        self._split(memoryview(data), offset, messages)
        return messages

    def _fill(self, frame: bytearray, data: bytes) -> int:
        num_taken = min(len(frame) - self._filled, len(data))
        frame[self._filled : self._filled + num_taken] = (
            data if num_taken == len(data) else memoryview(data)[:num_taken]
        )
        self._filled += num_taken
        return num_taken

    def _split(self, view: memoryview, offset: int, messages: list[Message]) -> None:
        end = len(view)
        while end - offset >= PREFIX.size:
            header_bytes, payload_bytes, kind = PREFIX.unpack_from(view, offset)
            num_bytes = PREFIX.size + header_bytes + payload_bytes
            if num_bytes > self.max_frame_bytes or kind not in UNPACKERS:
                rule = f"at most {self.max_frame_bytes} bytes and a known kind are taken"
                raise WireError(f"a frame of {num_bytes} bytes and kind {kind}; {rule}")
            if end - offset < num_bytes:
                self._frame = bytearray(num_bytes)
                self._frame[: end - offset] = view[offset:]
                self._filled = end - offset
                return
            messages.append(_decode(kind, view, offset, offset + PREFIX.size + header_bytes, offset + num_bytes))
            offset += num_bytes
        if offset < end:
            self._head = view[offset:].tobytes()


def _decode(kind: int, view: memoryview, start: int, body: int, end: int) -> Message:
    """The message whose prefix begins at `start`, its payload at `body`."""
    try:
        message: Message = UNPACKERS[kind](view[start + PREFIX.size : body], view[body:end])
    except (struct.error, IndexError, ValueError) as error:
        raise WireError(f"a message of kind {kind} with a malformed header: {error}") from error
    return message
