"""The channel between a supervisor and one of its ranks: JSON lines over a socket pair, and signs of life in memory
that both see.

Neither side ever waits in it: what the other end does not take stays here until the next flush().
"""

import json
import mmap
import os
import socket
from typing import Any

READ_BYTES = 64 * 1024
SEND_BUFFER_BYTES = 1024 * 1024
_STAMP_BYTES = 8


class Pulse:
    """When a rank last gave a sign of life, in monotonic seconds. Hundreds beat on a few cores: a message each would
    wake their supervisors as often, a stamp wakes nobody.
    """

    def __init__(self, fileno: int) -> None:
        self._stamp = memoryview(mmap.mmap(fileno, _STAMP_BYTES)).cast("d")

    def beat(self, now: float) -> None:
        self._stamp[0] = now

    def last(self) -> float:
        """0 before the first."""
        return self._stamp[0]


class ControlClosed(Exception):
    """The other end is gone."""


class ControlChannel:
    """One end. Messages are plain JSON objects."""

    def __init__(self, sock: socket.socket, pulse: Pulse) -> None:
        self.pulse = pulse
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._sock = sock
        self._incoming = bytearray()
        self._outgoing = bytearray()

    def fileno(self) -> int:
        return self._sock.fileno()

    def read(self) -> list[dict[str, Any]]:
        """What has arrived. Raises ControlClosed."""
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except OSError as error:
            raise ControlClosed(str(error)) from error
        if not data:
            raise ControlClosed("closed")
        self._incoming += data
        *lines, rest = self._incoming.split(b"\n")
        self._incoming = rest
        return [json.loads(line) for line in lines]

    def send(self, message: dict[str, Any]) -> None:
        self._outgoing += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        while self._outgoing:
            try:
                num_sent = self._sock.send(self._outgoing)
            except BlockingIOError:
                return
            except OSError:  # the reading side says that the other end is gone
                self._outgoing.clear()
                return
            del self._outgoing[:num_sent]

    def close(self) -> None:
        self._sock.close()


def open_channel() -> tuple[ControlChannel, socket.socket]:
    """The supervisor's end, and the socket from which `take_channel` makes the rank's."""
    ours, theirs = socket.socketpair()
    fileno = os.memfd_create("pulse")
    try:
        os.ftruncate(fileno, _STAMP_BYTES)
        socket.send_fds(ours, [b"\n"], [fileno])
        return ControlChannel(ours, Pulse(fileno)), theirs
    finally:
        os.close(fileno)


def take_channel(sock: socket.socket) -> ControlChannel:
    """The rank's end. Raises ControlClosed where the supervisor is gone already."""
    _, files, _, _ = socket.recv_fds(sock, 1, 1)
    if not files:
        raise ControlClosed("closed")
    try:
        return ControlChannel(sock, Pulse(files[0]))
    finally:
        os.close(files[0])
