"""Ranks over real sockets whose buffers hold a fraction of one message, every token of every lane routed to one expert:
all goes on, and nobody holds more than bounds.py says.
"""

import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pytest

from moe_wire.handshake import Identity as PeerIdentity
from moe_wire.messages import DType, Payload, Sampling, Segment, Submit
from moe_worker.protocol.bounds import bounds
from moe_worker.protocol.compute import Routed, Sampled
from moe_worker.protocol.rank import RankCore
from moe_worker.protocol.settings import Identity, Settings
from moe_worker.protocol.transport import Arrived
from moe_worker.protocol.view import SeatView, StageView, View
from moe_worker.transport.tcp import TcpTransport

STAGES, RANKS, PROMPTS, NEW_TOKENS = 2, 3, 6, 3
ROW_BYTES = 16 * 1024
BUFFER_BYTES = 4096
NOBODY = 10**6


def rows(count: int) -> Payload:
    return Payload(DType.FLOAT32, (count, ROW_BYTES // 4), bytes(count * ROW_BYTES))


class SkewedCompute:
    """Wide rows, one expert a stage, hosted by the stage's first rank; the numbers themselves are of no interest."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.num_sampled = 0
        self._ended: list[tuple[int, str | None]] = []

    def open_lane(self, lane: int) -> None: ...

    def drop_lane(self, lane: int) -> None: ...

    def free(self, lane: int, sequences: Sequence[int]) -> None: ...

    def begin(
        self, lane: int, segments: Sequence[Segment], tokens: Sequence[Sequence[int]] | None, hidden: Payload | None
    ) -> Sequence[Segment]:
        return segments

    def attend(self, batch: Sequence[Segment], layer: int) -> Sequence[Routed]:
        return [Routed(layer, rows(sum(segment.count for segment in batch)))]

    def expert(self, expert: int, rows: Sequence[Payload]) -> Sequence[Payload]:
        return rows

    def combine(self, batch: Sequence[Segment], layer: int, answers: Mapping[int, Payload]) -> None:
        assert list(answers) == [layer]

    def finish(self, batch: Sequence[Segment]) -> Payload | Sampled:
        if not self.settings.is_last:
            return rows(sum(segment.count for segment in batch))
        sampled = tuple((segment.sequence, 7) for segment in batch if segment.sampling is not None)
        self.num_sampled += len(sampled)
        return Sampled(sampled)

    def load(self, expert: int) -> None:
        self._ended.append((expert, None))

    def loaded(self) -> Iterable[tuple[int, str | None]]:
        ended, self._ended = self._ended, []
        return ended

    def drop(self, expert: int) -> None: ...


class Rank:
    """A core on its transport, in the hands of the test's loop."""

    def __init__(self, rank: int) -> None:
        listener = socket.socket()
        # Accepted sockets inherit these.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        listener.bind(("127.0.0.1", 0))
        self.seat = SeatView(rank=rank, pod_uid="pod", gpu=rank, address="{}:{}".format(*listener.getsockname()))
        self.settings = Settings(
            stage=rank // RANKS,
            stages=STAGES,
            first_layer=rank // RANKS,
            num_layers=1,
            max_step_tokens=24,
            patience_seconds=1000.0,
        )
        self.transport = TcpTransport(
            identity=PeerIdentity(kind="rank", deployment="d", replica=0, rank=rank, pod_uid="pod", incarnation=1),
            secret=b"k" * 32,
            listener=listener,
            clock=time.monotonic,
            log=print,
            max_frame_bytes=1 << 26,
            max_queued_bytes=1 << 30,
        )
        self.transport.listen()
        self.compute = SkewedCompute(self.settings)
        who = Identity(rank=rank, pod_uid="pod", incarnation=1)
        self.core = RankCore(who, self.settings, self.compute, self.transport)

    def turn(self) -> None:
        now = time.monotonic()
        for event in self.transport.poll(0.0):
            self.core.on_event(event, now)
        self.core.tick(now)
        self.core.run_one(now)
        self.transport.flush()


def stage_view(stage: int, ranks: Sequence[Rank]) -> StageView:
    seats = {one.seat.rank: one.seat for one in ranks[stage * RANKS : (stage + 1) * RANKS]}
    first = stage * RANKS
    lanes = {lane: first + lane for lane in range(RANKS)}
    return StageView(stage=stage, epoch=1, seats=seats, serving={stage: (first,)}, loading={}, lanes=lanes)


@pytest.fixture
def ranks() -> Iterator[list[Rank]]:
    made = [Rank(rank) for rank in range(STAGES * RANKS)]
    views = [stage_view(stage, made) for stage in range(STAGES)]
    for one in made:
        stage = one.settings.stage
        view = View(own=views[stage], previous=views[stage - 1], next=views[(stage + 1) % STAGES])
        one.core.on_view(view, time.monotonic())
        one.transport.follow(view, one.core.wanted_peers())
    yield made
    for one in made:
        one.transport.close()


def test_all_tokens_to_one_expert_through_tiny_buffers_come_to_their_end(ranks: list[Rank]) -> None:
    heads = ranks[:RANKS]
    for head in heads:
        for number in range(PROMPTS):
            submit = Submit(number.to_bytes(16, "big"), tuple(range(40)), (), Sampling(seed=number), NEW_TOKENS, ())
            head.core.on_event(Arrived(NOBODY, submit), time.monotonic())
    limit = bounds(ranks[0].settings, ranks_per_stage=RANKS, experts_per_token=1)
    deadline = time.monotonic() + 60.0
    most_queued = 0
    while any(head.core.status().requests for head in heads):
        assert time.monotonic() < deadline, "no progress"
        for one in ranks:
            one.turn()
            status = one.core.status()
            most_queued = max(most_queued, status.queued_rows)
            assert status.step_rows <= limit.step_rows
            assert status.asked_rows <= limit.asked_rows
            assert status.queued_rows <= limit.queued_rows
    assert sum(one.compute.num_sampled for one in ranks) == RANKS * PROMPTS * NEW_TOKENS
    assert most_queued > 0
