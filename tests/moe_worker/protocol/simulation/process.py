"""One rank process of the simulation: the production core between a fake compute and simulated connections."""

from functools import partial
from typing import TYPE_CHECKING, Any

from moe_wire.messages import Dispatch, Message, NotHere, Result, Step
from moe_worker.protocol.rank import RankCore
from moe_worker.protocol.settings import Identity
from moe_worker.protocol.transport import Answered, Arrived, Connected, ConnectionClosed, Lost
from moe_worker.protocol.view import SeatView
from tests.moe_worker.protocol.simulation.fake_compute import FakeCompute
from tests.moe_worker.protocol.simulation.network import Connection, Direction

if TYPE_CHECKING:
    from tests.moe_worker.protocol.simulation.world import World


class Process:
    """It is also its own core's Transport. `is_hung`: it does nothing, and others cannot tell."""

    def __init__(self, world: "World", identity: Identity, stage: int) -> None:
        self.world = world
        self.identity = identity
        self.stage = stage
        self.is_alive = True
        self.is_hung = False
        self.is_partitioned = False
        self.is_marked = False
        self.slowness = world.slowness()
        self.dialled: dict[int, RankConnection] = {}
        self.accepted: dict[int, Connection] = {}
        self.known = {number: world.stage_view(number) for number in world.neighbours(stage)}
        settings = world.config.settings(stage)
        compute: Any = FakeCompute(world.config.model, settings, world.random, flaky=world.config.flaky_loads)
        self.core: RankCore = world.make_core(identity, settings, compute, self)
        self.compute: FakeCompute = compute

    def __repr__(self) -> str:
        return f"rank {self.identity.rank}.{self.identity.incarnation}({self.identity.pod_uid})"

    # What its core asks of it.

    def send(self, peer: int, message: Message) -> None:
        connection = self.dialled.get(peer)
        assert connection is not None, f"{self!r} sends to {peer} without a connection"
        if isinstance(message, Dispatch):
            assert (message.lane, message.expert) not in connection.unanswered, "asked again before the answer"
            connection.unanswered.add((message.lane, message.expert))
        connection.forward.put(message)
        if isinstance(message, Step):
            steps = sum(isinstance(item, Step) and item.lane == message.lane for item in connection.forward.items)
            assert steps <= self.core.settings.max_steps_in_flight, "more of a lane on a link than may be in flight"

    def reply(self, connection: int, message: Message) -> None:
        if connection in self.accepted:
            self.accepted[connection].back.put(message)

    # What happens to it.

    def on_event(self, event: Any) -> None:
        self.core.on_event(event, self.world.now)
        self.world.mark(self)

    def on_view(self, view: Any) -> None:
        self.core.on_view(view, self.world.now)
        self.world.mark(self)
        self.dial()

    def run(self) -> bool:
        """One turn of its loop; False when it would sleep."""
        deadline = self.core.deadline
        if deadline is not None and deadline <= self.world.now:
            self.core.tick(self.world.now)
        return self.core.run_one(self.world.now)

    def dial(self) -> None:
        """End what is no longer wanted, call what is, and some time cut off whom the layout no longer names."""
        for accepted in self.accepted.values():
            if isinstance(accepted, RankConnection) and not self.names(accepted.dialler):
                self.world.after(self.world.random.random(), partial(self._cut_off, accepted))
        wanted = self.core.wanted_peers()
        for peer, connection in list(self.dialled.items()):
            seat = wanted.get(peer)
            if seat is None or seat.pod_uid != connection.pod_uid:
                self.hang_up(peer)
        for peer, seat in wanted.items():
            if peer not in self.dialled:
                self._call(peer, seat)

    def hang_up(self, peer: int) -> None:
        connection = self.dialled.pop(peer)
        connection.leave(self)
        if connection.is_welcomed:
            self.on_event(Lost(peer))

    def _cut_off(self, accepted: "RankConnection") -> None:
        if self.is_alive and self.accepted.pop(accepted.number, None) is not None:
            accepted.leave(self)
            self.on_event(ConnectionClosed(accepted.number))

    def _call(self, peer: int, seat: SeatView) -> None:
        """The handshake. Who cannot be reached, or does not know this pod, is called again later."""
        other = self.world.process_at(seat)
        if other is None or not other.names(self):
            self.world.redial_later(self)
            return
        connection = RankConnection(self, other, seat)
        self.dialled[peer] = connection
        other.accepted[connection.number] = connection
        connection.back.put(_WELCOME)

    def names(self, dialler: "Process") -> bool:
        """Whether a view of this process's supervisor names the dialler's pod for its rank."""
        rank, uid = dialler.identity.rank, dialler.identity.pod_uid
        return any(rank in view.seats and view.seats[rank].pod_uid == uid for view in self.known.values())

    def die(self) -> None:
        self.is_alive = False
        for connection in (*self.dialled.values(), *self.accepted.values()):
            connection.leave(self)
        self.dialled.clear()
        self.accepted.clear()


_WELCOME = object()


class RankConnection(Connection):
    """Between two ranks; the first thing that comes back is the welcome."""

    __slots__ = ("is_welcomed", "peer", "unanswered")

    def __init__(self, dialler: Process, acceptor: Process, seat: SeatView) -> None:
        super().__init__(dialler.world.network, dialler, acceptor, seat.pod_uid)
        self.peer = seat.rank
        self.is_welcomed = False
        self.unanswered: set[tuple[int, int]] = set()
        self.forward = Direction(self.network, acceptor, self._asked, self._closed, dialler.world.slowness())
        self.back = Direction(self.network, dialler, self._answered, self._lost, dialler.world.slowness())

    def _asked(self, message: Any) -> None:
        self.acceptor.world.trace("%r <- %r: %s", self.acceptor, self.dialler, message)
        self.acceptor.on_event(Arrived(self.number, message))

    def _answered(self, message: Any) -> None:
        if message is _WELCOME:
            self.is_welcomed = True
            self.dialler.on_event(Connected(self.peer, self.acceptor.identity.incarnation))
            return
        if isinstance(message, Result | NotHere):
            self.unanswered.remove((message.lane, message.expert))
        self.dialler.world.trace("%r <- %r: answer %s", self.dialler, self.acceptor, message)
        self.dialler.on_event(Answered(self.peer, message))

    def _closed(self) -> None:
        del self.acceptor.accepted[self.number]
        self.acceptor.on_event(ConnectionClosed(self.number))

    def _lost(self) -> None:
        del self.dialler.dialled[self.peer]
        if self.is_welcomed:
            self.dialler.on_event(Lost(self.peer))
        self.dialler.world.redial(self.dialler)
