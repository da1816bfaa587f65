"""A rank process that has no seat yet: forked in calm moments, it waits for the order that makes it a rank.

A fork of torch's size, and what Python does first in it, take longest when streams wait. The one who waits has done
both, and costs what differs from its parent's memory: some MB.
"""

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_ORDER_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Spare:
    """The fork server's end of it."""

    pid: int
    orders: socket.socket

    def seat(self, order: dict[str, Any], control: int) -> bool:
        """Make it this rank, with its control channel; False where it is gone."""
        try:
            socket.send_fds(self.orders, [json.dumps(order).encode()], [control])
        except OSError:
            return False
        finally:
            self.orders.close()
        return True


def channel() -> tuple[socket.socket, socket.socket]:
    """The fork server's end, and the spare's."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def wait_for_seat(orders: socket.socket, run: Callable[[dict[str, Any], int], int]) -> int:
    """In the spare: become the rank of the first order that comes; its exit status, 0 where none ever comes."""
    packet, files, _, _ = socket.recv_fds(orders, MAX_ORDER_BYTES, 1)
    orders.close()
    if not packet:
        return 0
    return run(json.loads(packet), files[0])
