"""The supervisor's side of the fork server: orders out, news in. Knows sockets and packets, decides nothing."""

import json
import socket
from dataclasses import dataclass
from typing import Any

from moe_worker.control import ControlChannel, open_channel
from moe_worker.fork_server import MAX_PACKET_BYTES


class ForkServerGone(Exception):
    """Without it no rank can be forked again: the supervisor ends too, and the pod's restart brings both back."""


@dataclass(frozen=True, kw_only=True)
class Forked:
    rank: int
    pid: int


@dataclass(frozen=True, kw_only=True)
class Exited:
    """`code` is None for a death by signal; `how` says it in words."""

    rank: int
    pid: int
    code: int | None
    how: str


class Forks:
    """`sock` is the socket that fork_server.start() gave."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.setblocking(False)

    def fileno(self) -> int:
        return self._sock.fileno()

    def fork(self, settings: dict[str, Any]) -> ControlChannel:
        """Order a rank; the returned channel reaches it. Raises ForkServerGone."""
        ours, theirs = open_channel()
        with theirs:
            try:
                socket.send_fds(self._sock, [json.dumps({"fork": settings}).encode()], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise ForkServerGone(str(error)) from error
        return ours

    def kill(self, rank: int) -> None:
        """SIGKILL; the Exited follows. Raises ForkServerGone."""
        self._order({"kill": rank})

    def freeze(self, rank: int) -> None:
        """SIGSTOP: it hangs. Raises ForkServerGone."""
        self._order({"freeze": rank})

    def news(self) -> list[Forked | Exited]:
        """What has happened since the last call. Raises ForkServerGone."""
        heard: list[Forked | Exited] = []
        while True:
            try:
                packet = self._sock.recv(MAX_PACKET_BYTES)
            except BlockingIOError:
                return heard
            except OSError as error:
                raise ForkServerGone(str(error)) from error
            if not packet:
                raise ForkServerGone("it has ended")
            heard += _read(json.loads(packet))

    def _order(self, order: dict[str, int]) -> None:
        try:
            self._sock.send(json.dumps(order).encode())
        except OSError as error:
            raise ForkServerGone(str(error)) from error


def _read(news: dict[str, Any]) -> list[Forked | Exited]:
    if "forked" in news:
        return [Forked(rank=news["forked"], pid=news["pid"])]
    if "exited" in news:
        return [Exited(rank=news["exited"], pid=news["pid"], code=news["code"], how=news["how"])]
    return []
