"""The same journeys as the engine's, and nothing else: in each stage a rank asks two others and passes on.

Every rank is a process with blocking writes and one epoll set; a message is a fixed header and one row of hidden
states. No handshake, no view, no model, no loss: what the machine takes for the messages alone.
"""

import os
import select
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

HEADER = struct.Struct("<BIIII")
START, STEP, ASK, ANSWER, DONE = range(5)
_MIX = 2654435761


@dataclass(frozen=True, kw_only=True)
class Ring:
    """`stages` stages of `ranks` ranks; a message carries `row_bytes` of payload, each stage asks `choices` ranks."""

    stages: int
    ranks: int
    choices: int
    row_bytes: int


@dataclass(frozen=True, kw_only=True)
class Journey:
    """What the messages of one sequence say: its number, its lane, and how many tokens it has gone and is to go."""

    sequence: int
    lane: int
    tokens: int
    wanted: int

    def pack(self, kind: int) -> bytes:
        return HEADER.pack(kind, self.sequence, self.lane, self.tokens, self.wanted)


class BareRank:
    """One process of the ring, in its loop until it is killed."""

    def __init__(self, ring: Ring, number: int, listeners: list[socket.socket]) -> None:
        self._ring = ring
        self._stage, self._place = divmod(number, ring.ranks)
        self._listeners = listeners
        self._number = number
        self._row = bytes(ring.row_bytes)
        self._size = HEADER.size + ring.row_bytes
        self._peers: dict[int, socket.socket] = {}
        self._clients: dict[int, socket.socket] = {}
        self._owed: dict[int, int] = {}
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
        data = sock.recv(self._size * 64)
        while len(data) % self._size:
            data += sock.recv(self._size - len(data) % self._size)
        for start in range(0, len(data), self._size):
            kind, sequence, lane, tokens, wanted = HEADER.unpack_from(data, start)
            self._take(kind, Journey(sequence=sequence, lane=lane, tokens=tokens, wanted=wanted), sock)

    def _take(self, kind: int, journey: Journey, sock: socket.socket) -> None:
        if kind == ASK:
            sock.sendall(journey.pack(ANSWER) + self._row)
        elif kind == ANSWER:
            self._answered(journey)
        elif kind == START:
            self._clients[journey.sequence] = sock
            self._ask(journey)
        elif kind == STEP and self._stage == 0:
            self._round(journey)
        else:
            self._ask(journey)

    def _round(self, journey: Journey) -> None:
        """A token has come back to its head: on with the next one, or home."""
        one = Journey(sequence=journey.sequence, lane=journey.lane, tokens=journey.tokens + 1, wanted=journey.wanted)
        if one.tokens < one.wanted:
            self._ask(one)
        else:
            self._clients.pop(one.sequence).sendall(one.pack(DONE) + self._row)

    def _ask(self, journey: Journey) -> None:
        ranks, mixed = self._ring.ranks, (journey.sequence * 31 + journey.tokens * 17 + self._stage) * _MIX
        chosen = [(mixed + 7 * one) % ranks for one in range(self._ring.choices)]
        others = [place for place in chosen if place != self._place]
        self._owed[journey.sequence] = len(others)
        for place in others:
            self._peer(self._stage * ranks + place).sendall(journey.pack(ASK) + self._row)
        if not others:
            self._pass_on(journey)

    def _answered(self, journey: Journey) -> None:
        self._owed[journey.sequence] -= 1
        if not self._owed[journey.sequence]:
            self._pass_on(journey)

    def _pass_on(self, journey: Journey) -> None:
        stage = (self._stage + 1) % self._ring.stages
        self._peer(stage * self._ring.ranks + journey.lane).sendall(journey.pack(STEP) + self._row)


class Heads:
    """The client of the ring: gives sequences to the lanes' heads and waits until they have come home."""

    def __init__(self, ring: Ring, listeners: list[socket.socket]) -> None:
        self._ring = ring
        self._socks = [socket.create_connection(one.getsockname()) for one in listeners[: ring.ranks]]

    def send(self, sequences: int, tokens: int) -> None:
        """`sequences` of them at the same time, each for so many tokens; lanes take turns."""
        row = bytes(self._ring.row_bytes)
        for sequence in range(sequences):
            journey = Journey(sequence=sequence, lane=sequence % self._ring.ranks, tokens=0, wanted=tokens)
            self._socks[journey.lane].sendall(journey.pack(START) + row)
        size = len(row) + HEADER.size
        for sequence in range(sequences):
            sock = self._socks[sequence % self._ring.ranks]
            left = size
            while left:
                left -= len(sock.recv(left))


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
        yield Heads(ring, listeners)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)
        for listener in listeners:
            listener.close()
