"""Links of the simulation: each connection is two ordered queues, whose ends the two sides meet at different times.

When a connection is cut, each direction keeps a random part of what was under way and then ends, as sockets do.
Nothing here knows the protocol: it carries whatever it is given.
"""

from collections import deque
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

_END = object()


class Direction:
    """One way of one connection. `receive` gets each item, `ended` is called after the last."""

    __slots__ = ("ended", "index", "is_cut", "items", "network", "receive", "receiver", "slowness")

    def __init__(
        self,
        network: "Network",
        receiver: Any,
        receive: Callable[[Any], None],
        ended: Callable[[], None],
        slowness: float,
    ) -> None:
        self.network = network
        self.receiver = receiver
        self.receive = receive
        self.ended = ended
        self.slowness = slowness
        self.items: deque[Any] = deque()
        self.is_cut = False
        self.index = -1

    def put(self, item: Any) -> None:
        if not self.is_cut:
            self.items.append(item)
            self.network.fill(self)

    def cut(self, random: Random) -> None:
        if self.is_cut:
            return
        self.is_cut = True
        for _ in range(random.randint(0, len(self.items))):
            self.items.pop()
        self.items.append(_END)
        self.network.fill(self)

    def deliver(self) -> None:
        """Hand the oldest item to the receiver."""
        item = self.items.popleft()
        if not self.items:
            self.network.drain(self)
        if item is _END:
            self.ended()
        else:
            self.receive(item)

    def silence(self) -> None:
        """The receiver is dead: nothing arrives any more."""
        self.is_cut = True
        self.items.clear()
        if self.index >= 0:
            self.network.drain(self)


class Network:
    """All directions that have something under way, for the scheduler to pick from."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.filled: list[Direction] = []
        self.numbers = count(1)

    def fill(self, direction: Direction) -> None:
        if direction.index < 0:
            direction.index = len(self.filled)
            self.filled.append(direction)

    def drain(self, direction: Direction) -> None:
        last = self.filled.pop()
        if last is not direction:
            self.filled[direction.index] = last
            last.index = direction.index
        direction.index = -1


class Connection:
    """`forward` carries what the dialler asks, `back` the answers. `number` names it at the acceptor."""

    __slots__ = ("acceptor", "back", "dialler", "forward", "network", "number", "pod_uid")

    def __init__(self, network: Network, dialler: Any, acceptor: Any, pod_uid: str) -> None:
        self.network = network
        self.number = next(network.numbers)
        self.dialler = dialler
        self.acceptor = acceptor
        self.pod_uid = pod_uid

    def cut(self) -> None:
        """The network fails between them; both will notice."""
        self.forward.cut(self.network.random)
        self.back.cut(self.network.random)

    def leave(self, side: Any) -> None:
        """One side is gone, or has closed it: it hears nothing more, the other notices in its time."""
        if side is self.dialler:
            self.back.silence()
            self.forward.cut(self.network.random)
        else:
            self.forward.silence()
            self.back.cut(self.network.random)
