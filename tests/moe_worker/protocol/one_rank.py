"""One rank's core between a gateway and a next stage that a test speaks for."""

from dataclasses import replace
from typing import Any

from moe_wire.messages import Reset, Sampling, Submit
from moe_worker.protocol.rank import RankCore
from moe_worker.protocol.settings import Identity, Settings
from moe_worker.protocol.transport import Arrived, Connected
from moe_worker.protocol.view import SeatView, StageView, View
from tests.moe_worker.protocol.recording import ROWS, RecordingCompute, RecordingTransport

FIRST_TERM = (1 << 40) | (1 << 16)
GATEWAY, LAST = 100, 101
REQUEST = b"r" * 16


def stage_view(stage: int, **changes: Any) -> StageView:
    """Stage s has the ranks 2s and 2s+1, lane i at its i-th, expert 10s + i at its i-th."""
    ranks = (2 * stage, 2 * stage + 1)
    view = StageView(
        stage=stage,
        epoch=1,
        seats={rank: SeatView(rank=rank, pod_uid=f"pod{rank}", gpu=0, address=f"10.0.0.{rank}:7") for rank in ranks},
        serving={10 * stage + index: (rank,) for index, rank in enumerate(ranks)},
        loading={},
        lanes=dict(enumerate(ranks)),
    )
    return replace(view, **changes)


def around(own: StageView, following: StageView) -> View:
    return View(own=own, previous=following, next=following)


class Rank:
    """Rank 0, in the first of two stages, heading lane 0; both experts of its layer are chosen by every step."""

    def __init__(self, *, stages: int = 2, outcome: Any = ROWS) -> None:
        self.transport = RecordingTransport()
        self.compute = RecordingCompute({0: (0, 1)}, outcome)
        settings = Settings(stage=0, stages=stages, first_layer=0, num_layers=1, block_size=4, blocks_per_lane=8)
        identity = Identity(rank=0, pod_uid="pod0", incarnation=1)
        self.core = RankCore(identity, settings, self.compute, self.transport)
        self.told(around(stage_view(0), stage_view(1 if stages > 1 else 0)))
        self.compute.ended = [(0, None)]
        self.core.tick(0.0)

    def told(self, view: View) -> None:
        self.core.on_view(view, 0.0)

    def connect(self, *peers: int) -> None:
        for peer in peers:
            self.core.on_event(Connected(peer, 1), 0.0)

    def hear(self, connection: int, message: Any) -> None:
        self.core.on_event(Arrived(connection, message), 0.0)

    def work(self) -> None:
        while self.core.run_one(0.0):
            pass

    def go_live(self) -> None:
        self.connect(1, 2)
        self.hear(LAST, Reset(0, self.core.status().headed[0].term))
        self.transport.take_sent()


def submit(num_prompt: int = 2, max_tokens: int = 3) -> Submit:
    return Submit(REQUEST, tuple(range(num_prompt)), (), Sampling(), max_tokens, (50,))
