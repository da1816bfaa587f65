"""The protocol's Transport over TCP: one epoll set, non-blocking sockets, one write per peer and flush.

It dials whom the core wants, admits whom the view names, and turns bytes into the protocol's events. It never waits
for a peer: what a peer does not take stays in user space, and everything is read whatever is still to be written.
"""

import os
import select
import socket
from collections.abc import Callable, Mapping

from moe_wire.errors import HandshakeError, WireError
from moe_wire.handshake import NONCE_BYTES, Identity, judge_hello, judge_welcome, make_hello, make_welcome
from moe_wire.messages import Challenge, Fetched, Hello, Message, Ping, Pong, Source, Welcome
from moe_worker.protocol.transport import Connected, ConnectionClosed, ConnectionId, Event, Lost
from moe_worker.protocol.view import SeatView, View
from moe_worker.transport.admission import Admission
from moe_worker.transport.connection import Connection, ConnectionEnded, Phase, prepare_socket
from moe_worker.transport.dialing import Dialing
from moe_worker.transport.heartbeats import Heartbeats, share_of
from moe_worker.transport.peers import ANSWERS, REQUESTS, Inbound, Outbound, Peer
from moe_worker.transport.traffic import Totals, Traffic

CONNECT_LIMIT_S = 2.0
HANDSHAKE_LIMIT_S = 5.0
MAX_STRANGERS = 128
BACKLOG = 512
FETCHES_NOTHING = Fetched(0)
NEVER = float("inf")
MAX_READY = 64  # connections served by one poll(): whoever else is ready comes with the next

READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR


class TcpTransport:
    """`listener` is a bound TCP socket of the seat; `log` gets one line for every peer turned away.

    `service_us` is what peers are told of this rank's speed when they ask for a sign of life.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        secret: bytes,
        listener: socket.socket,
        clock: Callable[[], float],
        log: Callable[[str], None],
        max_frame_bytes: int,
        max_queued_bytes: int,
    ) -> None:
        self._identity = identity
        self._secret = secret
        self._listener = listener
        self._clock = clock
        self._log = log
        self._max_frame_bytes = max_frame_bytes
        self._max_queued_bytes = max_queued_bytes
        self._admission = Admission()
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[], None]] = {}
        self._connections: dict[int, Peer] = {}
        self._strangers: dict[int, Peer] = {}
        self._dialings: dict[int, Dialing] = {}
        self._outbound: dict[int, Outbound] = {}
        self._inbound: dict[ConnectionId, Inbound] = {}
        self._heartbeats = Heartbeats()
        self._traffic = Traffic()
        self._dirty: list[Connection] = []
        self._events: list[Event] = []
        self._last_id = 0
        self._next_due = 0.0
        self.service_us = 0
        listener.setblocking(False)
        self.watch(listener.fileno(), self._accept)

    def listen(self) -> None:
        """From now on peers get through to the kernel; they are greeted by the next poll()."""
        self._listener.listen(BACKLOG)

    def watch(self, fileno: int, on_readable: Callable[[], None]) -> None:
        """Have poll() call this too: the control channel lives in the same loop."""
        self._watched[fileno] = on_readable
        self._epoll.register(fileno, select.EPOLLIN)

    def follow(self, view: View, wanted: Mapping[int, SeatView]) -> None:
        """Admit whom the view names, keep dialling those that are wanted, and end all else."""
        now = self._clock()
        self._admission.follow(view)
        for inbound in list(self._inbound.values()):
            hello = inbound.hello
            if hello is not None and hello.kind == "rank" and not self._admission.names(hello.rank, hello.pod_uid):
                self._end(inbound, "the layout no longer names it")
        for rank, dialing in list(self._dialings.items()):
            if wanted.get(rank) != dialing.seat:
                del self._dialings[rank]
                if rank in self._outbound:
                    self._end(self._outbound[rank], "no longer wanted")
        for rank, seat in wanted.items():
            if rank not in self._dialings:
                self._dialings[rank] = Dialing(seat, now)
        self._traffic.stage = view.own.seats.keys()
        self._heartbeats.watch(share_of(view, self._identity.rank, self._identity.pod_uid, wanted), now)
        self._next_due = now

    def send(self, peer: int, message: Message) -> None:
        connection = self._outbound.get(peer)
        if connection is not None and connection.phase is Phase.OPEN:
            self._queue(connection, message)

    def reply(self, connection: ConnectionId, message: Message) -> None:
        inbound = self._inbound.get(connection)
        if inbound is not None:
            self._queue(inbound, message)

    def tell_gateways(self, message: Message) -> None:
        """Send it, at once, to whichever gateway is connected."""
        for inbound in list(self._inbound.values()):
            if inbound.hello is not None and inbound.hello.kind == "gateway":
                self._queue(inbound, message)
                self._write(inbound)

    def flush(self) -> None:
        """Write what was queued since the last flush, one system call per peer."""
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            connection.is_dirty = False
            if connection.phase is not Phase.CLOSED:
                self._write(connection)

    def poll(self, timeout: float) -> list[Event]:
        """What has happened, waiting at most `timeout` seconds for it."""
        if self._events:
            timeout = 0.0
        elif timeout > 0.0 and self._next_due != NEVER:
            timeout = max(min(timeout, self._next_due - self._clock()), 0.0)
        for fileno, mask in self._epoll.poll(timeout, MAX_READY):
            connection = self._connections.get(fileno)
            if connection is not None:
                self._serve(connection, mask)
            elif fileno in self._watched:
                self._watched[fileno]()
        if self._next_due != NEVER and (now := self._clock()) >= self._next_due:
            self._keep_up(now)
        events, self._events = self._events, []
        return events

    def beat(self, late_s: float = 0.0) -> None:
        """Ask the watched peers for a sign of life if it is this rank's turn. `late_s`: by how much this beat itself is
        too late, which is no silence of the others'.
        """
        now = self._clock()
        self._heartbeats.forgive(late_s)
        self._heartbeats.begin(now)
        if self._heartbeats.is_calm:
            return
        for peer in self._heartbeats.watched:
            connection = self._outbound.get(peer)
            if connection is not None and connection.phase is Phase.OPEN:
                has_spoken, connection.has_spoken = connection.has_spoken, False
                if self._heartbeats.must_ask(peer, has_spoken=has_spoken, now=now):
                    self._queue(connection, Ping())
                    self._write(connection)

    def ask_all(self) -> None:
        """Do not wait for this rank's turn to ask."""
        self._heartbeats.ask_all()

    def is_calm(self) -> bool:
        """Whether all wanted peers are connected and no sign of life is being asked for: nobody is to be told of."""
        return self._next_due == NEVER and self._heartbeats.is_calm

    def suspects(self, for_seconds: float) -> list[int]:
        """Who has owed a sign of life for that long."""
        silent = self._heartbeats.silent(self._clock())
        return sorted(peer for peer, seconds in silent.items() if seconds >= for_seconds)

    def unreachable(self, for_seconds: float) -> dict[int, float]:
        """Wanted peers without a connection, or without a sign of life on it, for that long; for how many seconds."""
        now = self._clock()
        lost = {rank: now - dialing.lost_at for rank, dialing in self._dialings.items() if dialing.lost_at is not None}
        lost |= self._heartbeats.silent(now)
        return {rank: seconds for rank, seconds in lost.items() if seconds >= for_seconds}

    def peers_service_us(self) -> dict[int, int]:
        """How fast the watched peers said to be, by rank."""
        return dict(self._heartbeats.service_us)

    def traffic(self) -> Totals:
        """How much went each way since the start."""
        return self._traffic.totals(self._connections.values())

    def num_connected(self) -> int:
        return sum(1 for connection in self._outbound.values() if connection.phase is Phase.OPEN)

    def close(self) -> None:
        for connection in list(self._connections.values()):
            connection.close()
        self._connections.clear()
        self._listener.close()
        self._epoll.close()

    def _queue(self, connection: Connection, message: Message) -> None:
        connection.queue(message)
        if not connection.is_dirty:
            connection.is_dirty = True
            self._dirty.append(connection)

    def _write(self, connection: Connection) -> None:
        try:
            is_done = connection.flush()
        except ConnectionEnded as error:
            self._end(connection, str(error))
            return
        if is_done == connection.is_write_armed:
            connection.is_write_armed = not is_done
            self._epoll.modify(connection.fileno, select.EPOLLIN | (0 if is_done else select.EPOLLOUT))

    def _serve(self, connection: Peer, mask: int) -> None:
        if connection.phase is Phase.CONNECTING:
            self._connection_made(connection)
            return
        if mask & select.EPOLLOUT:
            self._write(connection)
        if mask & READABLE and connection.phase is not Phase.CLOSED:
            self._read(connection)

    def _read(self, connection: Peer) -> None:
        try:
            for message in connection.read():
                if type(message) in connection.allowed:
                    self._events.append(connection.event(message))
                elif isinstance(connection, Outbound):
                    self._greet(connection, message)
                else:
                    self._be_greeted(connection, message)
        except (ConnectionEnded, WireError, HandshakeError) as error:
            self._end(connection, str(error))

    def _greet(self, connection: Outbound, message: Message) -> None:
        """The dialler's half of the handshake, and afterwards signs of life."""
        if connection.phase is Phase.OPEN and isinstance(message, Pong):
            self._heartbeats.told(connection.peer, message.service_us)
        elif connection.phase is Phase.OPEN and isinstance(message, Source):
            self._queue(connection, FETCHES_NOTHING)
        elif connection.phase is Phase.OPEN:
            raise WireError(f"a {type(message).__name__} is no answer")
        elif isinstance(message, Challenge) and connection.hello is None:
            connection.hello = make_hello(
                self._secret, self._identity, self._admission.epoch, message, os.urandom(NONCE_BYTES)
            )
            self._queue(connection, connection.hello)
            self._write(connection)
        elif isinstance(message, Welcome) and connection.hello is not None:
            self._welcomed(connection, connection.hello, message)
        else:
            raise WireError(f"a {type(message).__name__} in the middle of the handshake")

    def _welcomed(self, connection: Outbound, hello: Hello, welcome: Welcome) -> None:
        seat = self._dialings[connection.peer].seat
        judge_welcome(self._secret, hello, welcome, seat.rank, seat.pod_uid)
        self._open(connection)
        connection.allowed = ANSWERS
        self._dialings[connection.peer].succeeded()
        self._events.append(Connected(connection.peer, welcome.incarnation))

    def _be_greeted(self, connection: Inbound, message: Message) -> None:
        """The acceptor's half of the handshake, and afterwards questions for a sign of life."""
        if isinstance(message, Ping) and connection.hello is not None:
            self._queue(connection, Pong(self.service_us))
        elif isinstance(message, Source) and connection.allowed is REQUESTS["rank"]:
            self._queue(connection, FETCHES_NOTHING)
        elif isinstance(message, Hello) and connection.hello is None:
            judge_hello(self._secret, self._identity, connection.challenge, message)
            self._admission.judge(message)
            self._admit(connection, message)
        else:
            who = connection.hello.kind if connection.hello else "stranger"
            raise WireError(f"a {type(message).__name__} is no request of a {who}")

    def _admit(self, connection: Inbound, hello: Hello) -> None:
        for other in list(self._inbound.values()):
            if hello.kind == "rank" and other.hello is not None and other.hello.rank == hello.rank:
                self._end(other, "the same rank has connected anew")
        connection.hello = hello
        connection.allowed = REQUESTS[hello.kind]
        self._last_id += 1
        connection.id = self._last_id
        self._inbound[connection.id] = connection
        self._open(connection)
        self._queue(connection, make_welcome(self._secret, self._identity, self._admission.epoch, hello))
        self._write(connection)
        self._dial_back(hello)

    def _dial_back(self, hello: Hello) -> None:
        """A wanted peer that has come back says so itself, sooner than the next attempt would find out."""
        dialing = self._dialings.get(hello.rank) if hello.kind == "rank" else None
        if dialing is not None and dialing.seat.pod_uid == hello.pod_uid:
            dialing.hurry(self._clock())
            self._next_due = min(self._next_due, dialing.retry_at or self._next_due)

    def _open(self, connection: Connection) -> None:
        connection.phase = Phase.OPEN
        connection.decoder.max_frame_bytes = self._max_frame_bytes
        self._strangers.pop(connection.fileno, None)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._log(f"a connection could not be accepted: {error}")
                return
            prepare_socket(sock)
            challenge = Challenge(os.urandom(NONCE_BYTES))
            connection = Inbound(sock, challenge, self._clock() + HANDSHAKE_LIMIT_S, self._max_queued_bytes)
            self._add_stranger(connection, select.EPOLLIN)
            self._queue(connection, connection.challenge)
            self._write(connection)

    def _add_stranger(self, connection: Peer, mask: int) -> None:
        strangers = [other for other in self._strangers.values() if isinstance(other, Inbound)]
        if len(strangers) >= MAX_STRANGERS:
            self._end(strangers[0], f"more than {MAX_STRANGERS} connections without a handshake")
        self._connections[connection.fileno] = connection
        self._strangers[connection.fileno] = connection
        self._epoll.register(connection.fileno, mask)
        self._next_due = min(self._next_due, connection.deadline)

    def _dial(self, dialing: Dialing, now: float) -> None:
        seat = dialing.seat
        host, _, port = (seat.address or "").rpartition(":")
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        prepare_socket(sock)
        dialing.started()
        connection = Outbound(sock, seat.rank, now + CONNECT_LIMIT_S, self._max_queued_bytes)
        self._outbound[seat.rank] = connection
        self._add_stranger(connection, select.EPOLLOUT)
        try:
            # From the own address, so that whoever is cut off is cut off in both directions.
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((self._listener.getsockname()[0], 0))
            sock.connect((host, int(port)))
        except BlockingIOError:
            return
        except (OSError, ValueError) as error:
            self._end(connection, str(error))

    def _connection_made(self, connection: Peer) -> None:
        error = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._end(connection, os.strerror(error))
            return
        connection.phase = Phase.GREETING
        connection.deadline = self._clock() + HANDSHAKE_LIMIT_S
        self._epoll.modify(connection.fileno, select.EPOLLIN)

    def _end(self, connection: Connection, reason: str) -> None:
        if connection.phase is Phase.CLOSED:
            return
        was_open = connection.phase is Phase.OPEN
        was_connecting = connection.phase is Phase.CONNECTING
        del self._connections[connection.fileno]
        self._traffic.end(connection)
        self._strangers.pop(connection.fileno, None)
        connection.close()
        if isinstance(connection, Outbound):
            self._ended_outbound(connection, was_open)
        elif isinstance(connection, Inbound) and self._inbound.pop(connection.id, None) is not None:
            self._events.append(ConnectionClosed(connection.id))
        if not was_open and not was_connecting:
            self._log(f"handshake ended: {reason}")

    def _ended_outbound(self, connection: Outbound, was_open: bool) -> None:
        self._outbound.pop(connection.peer, None)
        if was_open:
            self._events.append(Lost(connection.peer))
        silent_since = self._heartbeats.lost(connection.peer)
        dialing = self._dialings.get(connection.peer)
        if dialing is not None:
            now = self._clock()
            dialing.failed(now, silent_since)
            self._next_due = min(self._next_due, dialing.retry_at or now)

    def _keep_up(self, now: float) -> None:
        """End handshakes that took too long, dial whom it is time to dial, and see when to look again."""
        for connection in list(self._strangers.values()):
            if connection.deadline <= now:
                self._end(connection, "no handshake in time")
        for dialing in list(self._dialings.values()):
            if dialing.is_due(now):
                self._dial(dialing, now)
        times = [dialing.retry_at for dialing in self._dialings.values() if dialing.retry_at is not None]
        times += [connection.deadline for connection in self._strangers.values()]
        self._next_due = min(times, default=NEVER)
