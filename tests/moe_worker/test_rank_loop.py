"""A rank's loop over a transport and a clock that the test moves: what its supervisor hears of it, and when."""

import io
import itertools
from collections.abc import Iterator
from typing import Any, cast

import pytest

from moe_wire.messages import Sampling, Submit
from moe_worker.control import open_channel, take_channel
from moe_worker.logs import Logger
from moe_worker.protocol.rank import RankCore
from moe_worker.protocol.settings import Identity, Settings
from moe_worker.protocol.transport import Arrived
from moe_worker.rank_loop import BEAT_S, CALM_BEAT_S, RankLoop
from moe_worker.service_times import ServiceTimes
from tests.moe_worker.protocol.recording import RecordingCompute, RecordingTransport


class Stage:
    """All that surrounds the loop of rank 3; every wait takes as long as it may."""

    def __init__(self) -> None:
        self.supervisor, theirs = open_channel()
        self.control = take_channel(theirs)
        self.now = 100.0
        self.missing: dict[int, float] = {}
        self.service_us = 0
        self.num_checks = 0
        self.events: list[Any] = []
        self.lines = io.StringIO()
        self.loop = RankLoop(
            core=RankCore(
                Identity(rank=3, pod_uid="uid", incarnation=1),
                Settings(stage=1, stages=2, first_layer=1, num_layers=1),
                RecordingCompute(),
                RecordingTransport(),
            ),
            transport=cast(Any, self),
            control=self.control,
            device=self,
            times=ServiceTimes(lambda: 0.001),
            settled=lambda: None,
            clock=lambda: self.now,
            log=Logger("rank 3", self.lines),
            loads_every_seconds=5.0,
        )

    def turns(self, seconds: float) -> list[dict[str, Any]]:
        """What the supervisor hears meanwhile."""
        end = self.now + seconds
        while self.now < end:
            self.loop._turn()
        return self.supervisor.read()

    # The device.

    def check(self) -> None:
        self.num_checks += 1

    # The transport.

    def poll(self, timeout: float) -> list[Any]:
        self.now += timeout
        events, self.events = self.events, []
        return events

    def flush(self) -> None: ...

    def beat(self, late_s: float) -> None: ...

    def is_calm(self) -> bool:
        return not self.missing

    def suspects(self, for_seconds: float) -> list[int]:
        return []

    def unreachable(self, for_seconds: float) -> dict[int, float]:
        return self.missing

    def traffic(self) -> dict[str, int]:
        return {}

    def peers_service_us(self) -> dict[int, int]:
        return {}


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    stage.turns(1.0)
    yield stage
    stage.supervisor.close()
    stage.control.close()


def test_an_idle_rank_shows_that_it_lives_and_says_nothing(stage: Stage) -> None:
    for _ in range(20):
        assert stage.turns(CALM_BEAT_S) == []
        assert stage.supervisor.pulse.last() == stage.now


def test_an_idle_device_is_checked_with_every_beat(stage: Stage) -> None:
    before = stage.num_checks
    stage.turns(20 * CALM_BEAT_S)
    assert stage.num_checks == before + 20


def test_a_rank_that_misses_somebody_beats_twice_as_often(stage: Stage) -> None:
    stage.missing = {7: 2.0}
    stage.turns(CALM_BEAT_S)
    before = stage.num_checks
    stage.turns(20 * BEAT_S)
    assert stage.num_checks == before + 20


def test_a_missing_peer_is_told_once_and_so_is_its_return(stage: Stage) -> None:
    stage.missing = {7: 2.0}
    told = [words for words in stage.turns(2 * BEAT_S) if words]
    assert [words["unreachable"] for words in told] == [[[7, 2.0]]]
    stage.missing = {}
    told = [words for words in stage.turns(2 * BEAT_S) if words]
    assert [words["unreachable"] for words in told] == [[]]


def test_what_the_core_notes_of_a_request_is_in_the_log(stage: Stage) -> None:
    request = bytes(range(16))
    stage.events = [Arrived(9, Submit(request, (1, 2), (), Sampling(), 4, ()))]
    stage.turns(BEAT_S)
    *_, line = stage.lines.getvalue().splitlines()
    assert line.endswith(f"INFO rank 3: request {request.hex()} returned: no lane has its head at this rank")


def test_a_rank_tells_its_load_often_while_its_pod_reports_it_once_and_follows_a_new_word(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = itertools.count(1)
    monkeypatch.setattr(RankCore, "num_done", lambda _: next(done))

    def num_told(seconds: float) -> int:
        return len([words for words in stage.turns(seconds) if "load" in words])

    assert num_told(20.0) == 20, "reports every 5 s"
    stage.supervisor.send({"loads_every": 20.0})
    stage.loop._hear()
    assert num_told(20.0) == 5
    stage.supervisor.send({"loads_every": 600.0})
    stage.loop._hear()
    assert num_told(120.0) == 4
