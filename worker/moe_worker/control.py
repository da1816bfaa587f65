"""The channel between a supervisor and one of its ranks: JSON lines over a socket pair, and bare newlines as
heartbeats.

Neither side ever waits in it: what the other end does not take stays here until the next flush().
"""

import json
import socket
from typing import Any

READ_BYTES = 64 * 1024
SEND_BUFFER_BYTES = 1024 * 1024
BEAT = b"\n"


class ControlClosed(Exception):
    """The other end is gone."""


class ControlChannel:
    """One end. Messages are plain JSON objects; an empty object read here is a heartbeat."""

    def __init__(self, sock: socket.socket) -> None:
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
        return [json.loads(line) if line else {} for line in lines]

    def send(self, message: dict[str, Any]) -> None:
        self._outgoing += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        self.flush()

    def beat(self) -> None:
        """A sign of life; it is left out while earlier words still wait."""
        if self._outgoing:
            self.flush()
            return
        try:  # noqa: SIM105  # twice a second in each of hundreds: suppress() takes longer than all the rest here
            self._sock.send(BEAT)
        except OSError:  # full: enough is there to be read; the reading side says that the other end is gone
            pass

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
