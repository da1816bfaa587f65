"""One non-blocking TCP connection: bytes in to messages, messages out to bytes, both without ever waiting.

Knows nothing of handshakes, views or who the peer is; the transport that owns it does.
"""

import socket
from enum import Enum

from moe_wire.framing import MAX_GREETING_BYTES, Buffer, Decoder, encode
from moe_wire.messages import Message

READ_BYTES = 64 * 1024
MAX_BUFFERS_PER_WRITE = 512
COPIED_BYTES = 2048
"""Up to here a payload is copied to its header: one buffer is written sooner than two."""
KEEPALIVE_IDLE_S = 2
KEEPALIVE_INTERVAL_S = 1
KEEPALIVE_PROBES = 3
UNACKNOWLEDGED_LIMIT_MS = 5000


NO_MESSAGES: frozenset[type] = frozenset()


class Phase(Enum):
    """How far a connection has come. A dialler starts at CONNECTING, an acceptor at GREETING."""

    CONNECTING = 1
    GREETING = 2
    OPEN = 3
    CLOSED = 4


class ConnectionEnded(Exception):
    """The peer closed, the network failed, or the peer reads too slowly; the text says which."""


class Connection:
    """`deadline` is when the handshake must be done; `max_queued_bytes` bounds what may wait for a peer that does
    not read. `has_spoken`: there was something to read since this was last set to False. `allowed` are
    the messages that its owner wants to hear of: none before the handshake is done, nor after the end.
    """

    __slots__ = (
        "allowed",
        "bytes_received",
        "bytes_sent",
        "deadline",
        "decoder",
        "fileno",
        "has_spoken",
        "is_dirty",
        "is_write_armed",
        "max_queued_bytes",
        "outgoing",
        "phase",
        "queued_bytes",
        "sock",
    )

    def __init__(self, sock: socket.socket, phase: Phase, deadline: float, max_queued_bytes: int) -> None:
        self.sock = sock
        self.fileno = sock.fileno()
        self.phase = phase
        self.deadline = deadline
        self.max_queued_bytes = max_queued_bytes
        self.allowed = NO_MESSAGES
        self.decoder = Decoder(MAX_GREETING_BYTES)
        self.outgoing: list[Buffer] = []
        self.queued_bytes = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.has_spoken = False
        self.is_dirty = False
        self.is_write_armed = False

    def read(self) -> list[Message]:
        """The messages completed by what has arrived. Raises ConnectionEnded or WireError."""
        try:
            data = self.sock.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except OSError as error:
            raise ConnectionEnded(error.strerror or str(error)) from error
        if not data:
            raise ConnectionEnded("closed by the peer")
        self.has_spoken = True
        self.bytes_received += len(data)
        return self.decoder.feed(data)

    def queue(self, message: Message) -> None:
        """Keep the message for the next flush; its payload must not change until it is written."""
        buffers = encode(message)
        if len(buffers) == 2 and len(buffers[1]) <= COPIED_BYTES:
            buffers = [b"".join(buffers)]
        for buffer in buffers:
            self.outgoing.append(buffer)
            self.queued_bytes += len(buffer)

    def flush(self) -> bool:
        """Write what the network takes; True when nothing is left. Raises ConnectionEnded."""
        outgoing = self.outgoing
        while outgoing:
            try:
                if len(outgoing) == 1:
                    num_sent = self.sock.send(outgoing[0])
                else:
                    num_sent = self.sock.sendmsg(outgoing[:MAX_BUFFERS_PER_WRITE])
            except BlockingIOError:
                break
            except OSError as error:
                raise ConnectionEnded(error.strerror or str(error)) from error
            self.bytes_sent += num_sent
            self.queued_bytes -= num_sent
            if self.queued_bytes == 0:
                outgoing.clear()
                return True
            self._drop_sent(num_sent)
        if self.queued_bytes > self.max_queued_bytes:
            raise ConnectionEnded(f"{self.queued_bytes} bytes wait for it, at most {self.max_queued_bytes} may")
        return not outgoing

    def _drop_sent(self, num_sent: int) -> None:
        outgoing = self.outgoing
        num_whole = 0
        while num_sent >= len(outgoing[num_whole]):
            num_sent -= len(outgoing[num_whole])
            num_whole += 1
        outgoing[num_whole] = memoryview(outgoing[num_whole])[num_sent:]
        del outgoing[:num_whole]

    def close(self) -> None:
        self.phase = Phase.CLOSED
        self.allowed = NO_MESSAGES
        self.outgoing.clear()
        self.queued_bytes = 0
        self.sock.close()


def prepare_socket(sock: socket.socket) -> None:
    """No delay for small messages; the kernel's own probes find a host that fell silent, at no cost to the loop."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_LIMIT_MS)
