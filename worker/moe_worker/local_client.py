"""A gateway in small for LocalCluster: spreads prompts over the lanes' heads, keeps the tokens, submits again what a
head lost.

It does what every gateway must: tokens that were emitted are facts, a lost head's requests go on elsewhere from there.
"""

import os
import secrets
import selectors
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from moe_wire.errors import HandshakeError, WireError
from moe_wire.framing import MAX_FRAME_BYTES
from moe_wire.handshake import GATEWAY_RANK, NONCE_BYTES, Identity, make_hello
from moe_wire.messages import Challenge, Emitted, Message, Refused, Returned, Sampling, Submit, Welcome
from moe_worker.transport.connection import Connection, ConnectionEnded, Phase, prepare_socket

RETRY_S = 0.02
MAX_QUEUED_BYTES = 1 << 30


@dataclass(kw_only=True)
class Stream:
    """One prompt on its way. `lane` is where it is now; None while it looks for one, not before `not_before`. Lanes are
    given by `turn`.
    """

    index: int
    turn: int
    request: bytes
    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling
    on_token: Callable[[int, int], None] | None
    generated: list[int] = field(default_factory=list)
    lane: int | None = None
    not_before: float = 0.0
    is_done: bool = False


class LocalClient:
    """`heads` gives each lane's head's address."""

    def __init__(self, selector: selectors.BaseSelector, key: bytes, deployment: str, heads: Mapping[int, str]) -> None:
        self._selector = selector
        self._key = key
        self._who = Identity(
            kind="gateway", deployment=deployment, replica=0, rank=GATEWAY_RANK, pod_uid="client", incarnation=1
        )
        self._heads = heads
        self._connections: dict[int, Connection] = {}
        self._streams: dict[bytes, Stream] = {}
        self._retry_at = 0.0
        self.num_resubmitted = 0

    def submit(
        self,
        prompts: Sequence[Sequence[int]],
        max_tokens: int,
        sampling: Sampling,
        on_token: Callable[[int, int], None] | None,
        streams_per_lane: int = 1,
    ) -> list[Stream]:
        """One stream for each prompt, dealt out to the lanes so many at a time."""
        streams = [
            Stream(
                index=index,
                turn=index // streams_per_lane,
                request=secrets.token_bytes(16),
                prompt=tuple(prompt),
                max_tokens=max_tokens,
                sampling=sampling,
                on_token=on_token,
            )
            for index, prompt in enumerate(prompts)
        ]
        self._streams = {stream.request: stream for stream in streams}
        return streams

    def turn(self, streams: Sequence[Stream]) -> bool:
        """Place what has no lane; True when all are done."""
        now = time.monotonic()
        if now >= self._retry_at:
            self._retry_at = now + RETRY_S
            for lane in self._heads:
                if lane not in self._connections:
                    self._dial(lane)
        lanes = sorted(lane for lane, connection in self._connections.items() if connection.phase is Phase.OPEN)
        for stream in streams:
            if stream.lane is None and not stream.is_done and lanes and now >= stream.not_before:
                self._place(stream, lanes[stream.turn % len(lanes)])
        return all(stream.is_done for stream in streams)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def _place(self, stream: Stream, lane: int) -> None:
        stream.lane = lane
        self._send(
            lane,
            Submit(stream.request, stream.prompt, tuple(stream.generated), stream.sampling, stream.max_tokens, ()),
        )

    def _dial(self, lane: int) -> None:
        host, _, port = self._heads[lane].rpartition(":")
        sock = socket.socket()
        prepare_socket(sock)
        sock.connect_ex((host, int(port)))
        connection = Connection(sock, Phase.GREETING, 0.0, MAX_QUEUED_BYTES)
        self._connections[lane] = connection
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._read(lane, connection))

    def _send(self, lane: int, message: Message) -> None:
        connection = self._connections[lane]
        connection.queue(message)
        try:
            while not connection.flush():
                time.sleep(0.001)
        except ConnectionEnded:
            self._lost(lane, connection)

    def _read(self, lane: int, connection: Connection) -> None:
        try:
            for message in connection.read():
                self._hear(lane, connection, message)
        except (ConnectionEnded, WireError, HandshakeError):
            self._lost(lane, connection)

    def _hear(self, lane: int, connection: Connection, message: Message) -> None:
        if isinstance(message, Challenge):
            self._send(lane, make_hello(self._key, self._who, 0, message, os.urandom(NONCE_BYTES)))
        elif isinstance(message, Welcome):
            connection.phase = Phase.OPEN
            connection.decoder.max_frame_bytes = MAX_FRAME_BYTES
        elif isinstance(message, Emitted | Returned | Refused) and message.request in self._streams:
            self._take(self._streams[message.request], message)

    def _take(self, stream: Stream, message: Emitted | Returned | Refused) -> None:
        if isinstance(message, Refused) and message.code != "overloaded":
            raise ValueError(f"{message.code}: {message.message}")
        if isinstance(message, Refused):
            stream.lane, stream.not_before = None, time.monotonic() + RETRY_S
        elif isinstance(message, Returned):
            stream.lane = None
            self.num_resubmitted += 1
        elif message.position == len(stream.generated):
            stream.generated.append(message.token)
            stream.is_done = bool(message.finish)
            if stream.on_token is not None:
                stream.on_token(stream.index, message.token)

    def _lost(self, lane: int, connection: Connection) -> None:
        if self._connections.get(lane) is not connection:
            return
        self._selector.unregister(connection.sock)
        del self._connections[lane]
        connection.close()
        for stream in self._streams.values():
            if stream.lane == lane and not stream.is_done:
                stream.lane = None
                self.num_resubmitted += 1
