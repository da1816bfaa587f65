"""Pod and Service addresses, and the loopback addresses that stand for them on this machine.

Kubernetes refuses loopback addresses in EndpointSlices, so 10.244.a.b is published and 127.244.a.b is used.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

from moe_local.errors import LocalError

HOST_ADDRESS = "127.0.0.1"
CLAIM_PORT = 10256


def loopback(address: str) -> str:
    """10.244.a.b -> 127.244.a.b and 10.96.a.b -> 127.96.a.b; other addresses as they are."""
    return f"127.{address[3:]}" if address.startswith(("10.244.", "10.96.")) else address


class Subnet:
    """The /24 of one node: hands out pod addresses, each free one as late as possible after its last use."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._last = 0
        self._taken: set[str] = set()

    def take(self) -> str:
        """A free pod address, 10.244.NUMBER.1 to .254; raises LocalError when there is none."""
        for step in range(1, 255):
            host = (self._last + step - 1) % 254 + 1
            address = f"10.244.{self.number}.{host}"
            if address not in self._taken:
                self._last = host
                self._taken.add(address)
                return address
        raise LocalError(f"10.244.{self.number}.0/24: all 254 pod addresses are taken; delete pods of this node")

    def give_back(self, address: str) -> None:
        """Makes an address free again."""
        self._taken.discard(address)


class Claims:
    """Keeps clusters on one machine apart: a /24 is ours while we hold a port of its first address."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def claim(self, candidates: Iterable[int] = range(256)) -> Subnet:
        """The first /24 that no other cluster holds; raises LocalError when there is none."""
        for number in candidates:
            holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                holder.bind((f"127.244.{number}.0", CLAIM_PORT))
            except OSError:
                holder.close()
                continue
            self._sockets.append(holder)
            return Subnet(number)
        raise LocalError(
            "127.244.0.0/16: other clusters hold all 256 pod networks; run `moe-local down` for one of them"
        )

    def close(self) -> None:
        """Lets go of all."""
        for holder in self._sockets:
            holder.close()
