"""Transports of several ranks in one process over real loopback sockets, of either kind."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from moe_wire.handshake import Identity
from moe_wire.messages import Dispatch, DType, Message, Payload
from moe_worker.protocol.transport import Arrived, Event
from moe_worker.protocol.view import SeatView, StageView, View
from moe_worker.transport.nixl import NixlTransport, open_nixl
from moe_worker.transport.tcp import TcpTransport

SECRET = b"k" * 32
SLAB_BYTES = 1 << 22
OPENERS: dict[str, Callable[..., TcpTransport]] = {
    "tcp": TcpTransport,
    "nixl": partial(open_nixl, slab_bytes=SLAB_BYTES, least_bytes=64),
}


def bound(port: int = 0, host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock


@dataclass
class Node:
    """One rank's transport, and what it has told."""

    rank: int
    listener: socket.socket
    kind: str = "tcp"
    incarnation: int = 1
    secret: bytes = SECRET
    ahead_s: float = 0.0
    events: list[Event] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.address = "{}:{}".format(*self.listener.getsockname())
        self.transport = OPENERS[self.kind](
            identity=Identity(
                kind="rank",
                deployment="d",
                replica=0,
                rank=self.rank,
                pod_uid=f"uid-{self.rank}",
                incarnation=self.incarnation,
            ),
            secret=self.secret,
            listener=self.listener,
            clock=lambda: time.monotonic() + self.ahead_s,
            log=self.log.append,
            max_frame_bytes=1 << 26,
            max_queued_bytes=1 << 26,
        )
        self.transport.listen()

    def seat(self) -> SeatView:
        return SeatView(rank=self.rank, pod_uid=f"uid-{self.rank}", gpu=0, address=self.address)

    def poll(self) -> None:
        self.events += self.transport.poll(0.001)
        self.transport.flush()

    def can_be_read(self) -> bool:
        """Whether large payloads now go the way of this kind, to the only peer and back."""
        return not isinstance(self.transport, NixlTransport) or self.transport.shelf.num_readers() == 2

    def told(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def introduce(nodes: list[Node], others: list[SeatView], *, epoch: int = 1, dialling: bool = True) -> None:
    """Tell the nodes of each other, and of seats elsewhere."""
    seats = {seat.rank: seat for seat in [*others, *(node.seat() for node in nodes)]}
    stage = StageView(stage=0, epoch=epoch, seats=seats, serving={}, loading={}, lanes={})
    for node in nodes:
        wanted = {rank: seat for rank, seat in seats.items() if rank != node.rank}
        node.transport.follow(View(own=stage, previous=stage, next=stage), wanted if dialling else {})


class Net:
    """Nodes, of one kind where nothing else is said, that are polled in turn until something holds."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.nodes: list[Node] = []

    def add(self, rank: int, **options: object) -> Node:
        port = options.pop("port", 0)
        assert isinstance(port, int)
        node = Node(rank, bound(port), **{"kind": self.kind, **options})  # type: ignore[arg-type]  # any field
        self.nodes.append(node)
        return node

    def introduce(self, *, epoch: int = 1, dialling: bool = True) -> None:
        """Everyone is in everyone's view, and dialled."""
        introduce(self.nodes, [], epoch=epoch, dialling=dialling)

    def until(self, is_true: Callable[[], bool], limit_s: float = 8.0) -> None:
        deadline = time.monotonic() + limit_s
        while not is_true():
            assert time.monotonic() < deadline, [(node.rank, node.events, node.log) for node in self.nodes]
            for node in self.nodes:
                node.poll()

    def drop(self, node: Node) -> None:
        """As if the process had been killed."""
        self.nodes.remove(node)
        node.transport.close()


def rows(num_bytes: int = 8) -> Payload:
    return Payload(DType.FLOAT32, (1, num_bytes // 4), b"\x01" * num_bytes)


def dispatch(step: int, num_bytes: int = 8) -> Dispatch:
    return Dispatch(0, 1, step, 0, 0, 0, rows(num_bytes))


def connected_pair(net: Net) -> tuple[Node, Node]:
    a, b = net.add(0), net.add(1)
    net.introduce()
    net.until(lambda: a.transport.num_connected() == b.transport.num_connected() == 1)
    net.until(lambda: a.can_be_read() and b.can_be_read())
    return a, b


def arrived(node: Node) -> list[Message]:
    return [event.message for event in node.events if isinstance(event, Arrived)]
