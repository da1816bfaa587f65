"""How many bytes went each way, by who the peer is: a rank of the own stage, of a neighbouring one, or a gateway."""

from collections.abc import Collection, Iterable

from moe_worker.transport.connection import Connection
from moe_worker.transport.peers import Inbound, Outbound

Totals = dict[str, list[int]]
"""By kind of peer: bytes sent, bytes received."""


class Traffic:
    """What went over connections that have ended, to which those that live are added when it is asked for."""

    def __init__(self) -> None:
        self.stage: Collection[int] = ()
        self._ended: Totals = {}

    def end(self, connection: Connection) -> None:
        """The connection is about to be forgotten."""
        self._add(self._ended, connection)

    def totals(self, living: Iterable[Connection]) -> Totals:
        totals = {kind: list(both) for kind, both in self._ended.items()}
        for connection in living:
            self._add(totals, connection)
        return totals

    def _add(self, totals: Totals, connection: Connection) -> None:
        both = totals.setdefault(self._kind(connection), [0, 0])
        both[0] += connection.bytes_sent
        both[1] += connection.bytes_received

    def _kind(self, connection: Connection) -> str:
        if isinstance(connection, Outbound):
            return "stage" if connection.peer in self.stage else "neighbour"
        hello = connection.hello if isinstance(connection, Inbound) else None
        if hello is None or hello.kind == "gateway":
            return "gateway" if hello else "stranger"
        return "stage" if hello.rank in self.stage else "neighbour"
