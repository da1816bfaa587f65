"""The engine's journeys, and nothing else: in each stage a lane's rank asks those that its rows choose, and passes on.

Every rank is a process with blocking writes and one epoll set; a message is a fixed header and rows of hidden states.
A lane's sequences travel as one batch, which asks each rank once for all of its rows, as the engine's do: so few
messages carry so many rows. No handshake, no view, no model, no loss: what the machine takes for the messages alone.
"""

import os
import select
import selectors
import signal
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

HEADER = struct.Struct("<BIIII")
START, STEP, ASK, ANSWER, TOKEN = range(5)
_MIX = 2654435761
_READ_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Ring:
    """`stages` stages of `ranks` ranks; a message carries `row_bytes` of payload, each stage asks `choices` ranks."""

    stages: int
    ranks: int
    choices: int
    row_bytes: int


@dataclass(frozen=True, kw_only=True)
class Journey:
    """What the messages of one batch say: its lane, its rows, and how many tokens it has gone and is to go."""

    lane: int
    rows: int
    tokens: int
    wanted: int

    def pack(self, kind: int) -> bytes:
        return HEADER.pack(kind, self.lane, self.rows, self.tokens, self.wanted)


def chosen(ring: Ring, stage: int, journey: Journey) -> Counter[int]:
    """How many of the journey's rows each place of the stage is asked for; every row chooses `choices` places."""
    places = Counter[int]()
    for row in range(journey.rows):
        mixed = ((journey.lane + row * ring.ranks) * 31 + journey.tokens * 17 + stage) * _MIX
        places.update((mixed + 7 * one) % ring.ranks for one in range(ring.choices))
    return places


class BareRank:
    """One process of the ring, in its loop until it is killed."""

    def __init__(self, ring: Ring, number: int, listeners: list[socket.socket]) -> None:
        self._ring = ring
        self._stage, self._place = divmod(number, ring.ranks)
        self._listeners = listeners
        self._number = number
        self._peers: dict[int, socket.socket] = {}
        self._clients: dict[int, socket.socket] = {}
        self._owed: dict[int, tuple[Journey, int]] = {}
        self._epoll = select.epoll()
        self._sockets = {listeners[number].fileno(): listeners[number]}
        self._epoll.register(listeners[number], select.EPOLLIN)

    def run(self) -> None:
        while True:
            for fileno, _ in self._epoll.poll():
                if fileno == self._listeners[self._number].fileno():
                    self._watch(self._listeners[self._number].accept()[0])
                else:
                    self._read(self._sockets[fileno])

    def _watch(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets[sock.fileno()] = sock
        self._epoll.register(sock, select.EPOLLIN)

    def _peer(self, number: int) -> socket.socket:
        if number not in self._peers:
            self._peers[number] = socket.create_connection(self._listeners[number].getsockname())
            self._watch(self._peers[number])
        return self._peers[number]

    def _read(self, sock: socket.socket) -> None:
        data, start = sock.recv(_READ_BYTES), 0
        while start < len(data):
            data = _at_least(sock, data, start + HEADER.size)
            kind, lane, rows, tokens, wanted = HEADER.unpack_from(data, start)
            start += HEADER.size + rows * self._ring.row_bytes
            data = _at_least(sock, data, start)
            self._take(kind, Journey(lane=lane, rows=rows, tokens=tokens, wanted=wanted), sock)

    def _take(self, kind: int, journey: Journey, sock: socket.socket) -> None:
        if kind == ASK:
            self._send(sock, ANSWER, journey)
        elif kind == ANSWER:
            self._answered(journey)
        elif kind == START:
            self._clients[journey.lane] = sock
            self._ask(journey)
        elif kind == STEP and self._stage == 0:
            self._round(journey)
        else:
            self._ask(journey)

    def _send(self, sock: socket.socket, kind: int, journey: Journey) -> None:
        sock.sendall(journey.pack(kind) + bytes(journey.rows * self._ring.row_bytes))

    def _round(self, journey: Journey) -> None:
        """A token of each sequence has come back to its head: one message each for the client, and on."""
        one = replace(journey, tokens=journey.tokens + 1)
        self._clients[one.lane].sendall(one.pack(TOKEN) * one.rows)
        if one.tokens < one.wanted:
            self._ask(one)

    def _ask(self, journey: Journey) -> None:
        places = chosen(self._ring, self._stage, journey)
        places.pop(self._place, None)
        self._owed[journey.lane] = journey, len(places)
        for place, rows in places.items():
            self._send(self._peer(self._stage * self._ring.ranks + place), ASK, replace(journey, rows=rows))
        if not places:
            self._pass_on(journey)

    def _answered(self, answer: Journey) -> None:
        journey, owed = self._owed[answer.lane]
        self._owed[answer.lane] = journey, owed - 1
        if owed == 1:
            self._pass_on(journey)

    def _pass_on(self, journey: Journey) -> None:
        stage = (self._stage + 1) % self._ring.stages
        self._send(self._peer(stage * self._ring.ranks + journey.lane), STEP, journey)


def _at_least(sock: socket.socket, data: bytes, size: int) -> bytes:
    while len(data) < size:
        data += sock.recv(_READ_BYTES)
    return data


class Heads:
    """The client of the ring, whose processes are `pids`: gives batches to the lanes' heads and waits for every token
    of theirs.
    """

    def __init__(self, ring: Ring, listeners: list[socket.socket], pids: list[int]) -> None:
        self.pids = pids
        self._ring = ring
        self._socks = [socket.create_connection(one.getsockname()) for one in listeners[: ring.ranks]]

    def send(self, sequences: int, tokens: int, per_lane: int = 1) -> None:
        """`sequences` of them at the same time, each for so many tokens; a lane gets `per_lane` before the next."""
        left, selector = {}, selectors.DefaultSelector()
        lanes = Counter(sequence // per_lane % self._ring.ranks for sequence in range(sequences))
        for lane, rows in lanes.items():
            journey, sock = Journey(lane=lane, rows=rows, tokens=0, wanted=tokens), self._socks[lane]
            sock.sendall(journey.pack(START) + bytes(rows * self._ring.row_bytes))
            left[lane] = HEADER.size * rows * tokens
            selector.register(sock, selectors.EVENT_READ, lane)
        while left:
            for key, _ in selector.select():
                left[key.data] -= len(self._socks[key.data].recv(_READ_BYTES))
                if not left[key.data]:
                    del left[key.data]
                    selector.unregister(key.fileobj)
        selector.close()

    def close(self) -> None:
        for sock in self._socks:
            sock.close()


@contextmanager
def running_ring(ring: Ring) -> Iterator[Heads]:
    """One process for each rank, until the end of the block."""
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=512) for _ in range(ring.stages * ring.ranks)]
    pids = []
    try:
        for number in range(len(listeners)):
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                try:
                    BareRank(ring, number, listeners).run()
                finally:
                    os._exit(1)
            pids.append(pid)
        with closing(Heads(ring, listeners, pids)) as heads:
            yield heads
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)
        for listener in listeners:
            listener.close()
