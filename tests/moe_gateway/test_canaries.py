from typing import Any

from moe_api.stage import MoEStage
from moe_gateway.balancer import Balancer
from moe_gateway.canaries import ANSWER_TOKENS, Canaries, CanaryLimits
from moe_gateway.errors import going_away
from moe_gateway.metrics import Metrics
from moe_gateway.router import HeadKey
from moe_wire.messages import Emitted, Returned
from tests.moe_gateway.fakes import Clock, FakeLink
from tests.moe_gateway.stages import stage_json

DRILL = {
    "name": "2026-01-01T00:00:00Z",
    "since": "2026-01-01T00:00:00Z",
    "gateway": "me",
    "streams": 1,
    "stallBelow": "2s",
    "rank": 5,
    "failure": "exit",
    "incarnation": 1,
}


def first_stage(replica: int = 0, **drill: Any) -> MoEStage:
    raw = stage_json(replica=replica)
    raw["spec"]["rehearsal"] = DRILL | drill
    return MoEStage.load(raw)


class Scene:
    """One head, which emits what the test says, and a drill."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.balancer = Balancer(hold_seconds=30, now=self.clock, metrics=Metrics("m"))
        limits = CanaryLimits(vocab_size=100, max_sequence_length=256)
        self.canaries = Canaries(self.balancer, now=self.clock, pod_name="me", limits=limits)
        self.link = FakeLink()
        self.balancer.connected(self.link)

    def emit(self, tokens: list[int], start: int = 0, after: float = 0.1, stream: int = -1) -> None:
        """Tokens of a request, each so long after the last."""
        request = self.link.submits[stream].request
        for position, token in enumerate(tokens, start):
            self.clock.seconds += after
            self.balancer.received(self.link, Emitted(request, position, token, ""))

    def told(self) -> tuple[bool, bool, int, int, int]:
        self.canaries.step()
        report = self.canaries.report
        assert report is not None
        return report.is_ready, report.is_final, report.stall_ms, report.failed, report.wrong


def test_nothing_is_asked_without_a_drill_of_ones_own() -> None:
    scene = Scene()
    scene.canaries.follow([MoEStage.load(stage_json()), first_stage(gateway="another")])
    scene.canaries.step()
    assert (scene.canaries.report, scene.link.submits) == (None, [])


def test_as_many_requests_as_are_wanted_are_kept_under_way() -> None:
    scene = Scene()
    scene.canaries.follow([first_stage(streams=3)])
    scene.canaries.step()
    assert len({submit.prompt for submit in scene.link.submits}) == 3
    scene.emit(list(range(ANSWER_TOKENS)), stream=0)
    scene.canaries.step()
    assert len(scene.link.submits) == 4
    assert scene.link.submits[3].prompt == scene.link.submits[0].prompt


def test_it_is_ready_when_every_stream_has_a_token() -> None:
    scene = Scene()
    scene.canaries.follow([first_stage(streams=2)])
    assert scene.told()[0] is False
    scene.emit([7], stream=0)
    assert scene.told()[0] is False
    scene.emit([7], stream=1)
    assert scene.told()[0] is True


def test_the_longest_wait_counts_from_the_first_token_and_while_it_goes_on() -> None:
    scene = Scene()
    scene.canaries.follow([first_stage()])
    scene.canaries.step()
    scene.clock.seconds += 60
    scene.emit([1, 2], after=0.25)
    assert scene.told() == (True, False, 250, 0, 0)
    scene.clock.seconds += 1.5
    assert scene.told() == (True, False, 1500, 0, 0)
    scene.emit([3], start=2, after=0.5)
    scene.clock.seconds += 1
    assert scene.told() == (True, False, 2000, 0, 0)


def test_waiting_for_the_first_token_of_a_later_request_counts() -> None:
    scene = Scene()
    scene.canaries.follow([first_stage()])
    scene.canaries.step()
    scene.emit(list(range(ANSWER_TOKENS)))
    scene.canaries.step()
    scene.emit([0], after=0.75)
    assert scene.told() == (True, False, 750, 0, 0)


def test_a_failed_request_counts_and_another_follows() -> None:
    scene = Scene()
    scene.canaries.follow([first_stage()])
    scene.canaries.step()
    scene.emit([1])
    scene.balancer.fail_all(going_away())
    assert scene.told()[3] == 1
    assert scene.canaries.report is not None
    assert "stopped" in scene.canaries.report.reason
    scene.clock.seconds += 1
    assert scene.told() == (True, False, 1000, 1, 0)
    assert len(scene.link.submits) == 2


def test_an_answer_with_other_tokens_is_wrong() -> None:
    scene = Scene()
    scene.canaries.follow([first_stage()])
    scene.canaries.step()
    scene.emit(list(range(ANSWER_TOKENS)))
    scene.canaries.step()
    scene.emit(list(range(ANSWER_TOKENS)))
    assert scene.told()[4] == 0
    scene.emit([*range(ANSWER_TOKENS - 1), 99])
    assert scene.told()[4] == 1


def test_an_unfinished_answer_is_compared_as_far_as_it_goes() -> None:
    scene = Scene()
    scene.canaries.follow([first_stage()])
    scene.canaries.step()
    scene.emit(list(range(ANSWER_TOKENS)))
    scene.canaries.step()
    scene.emit([0, 1, 99])
    scene.canaries.follow([first_stage(overSince="2026-01-01T00:01:00Z")])
    assert scene.told() == (True, True, 100, 0, 1)


def test_what_is_over_is_withdrawn_and_its_figures_stay() -> None:
    scene = Scene()
    scene.canaries.follow([first_stage()])
    scene.canaries.step()
    scene.emit([1, 2], after=0.5)
    scene.canaries.follow([first_stage(overSince="2026-01-01T00:01:00Z")])
    assert scene.told() == (True, True, 500, 0, 0)
    scene.clock.seconds += 60
    assert scene.told() == (True, True, 500, 0, 0)
    assert (len(scene.link.cancels), scene.balancer.num_live) == (1, 0)
    scene.canaries.follow([MoEStage.load(stage_json())])
    scene.canaries.step()
    assert scene.canaries.report is None


def test_a_drill_asks_the_replica_in_which_something_fails() -> None:
    scene = Scene()
    scene.canaries.follow([first_stage(replica=1)])
    scene.canaries.step()
    assert scene.link.submits == []
    other = FakeLink(rank=0)
    other.key = HeadKey(replica=1, rank=0, pod_uid="pod")
    scene.balancer.connected(other)
    assert len(other.submits) == 1


def test_the_first_stream_is_in_the_lane_that_loses_its_rank_while_that_can_be() -> None:
    scene = Scene()
    wished = FakeLink(rank=3)
    scene.balancer.connected(wished)
    scene.canaries.follow([first_stage(streams=2, head=3)])
    scene.canaries.step()
    assert (len(wished.submits), len(scene.link.submits)) == (1, 1)
    scene.balancer.received(wished, Returned(wished.submits[0].request, "the lane moved"))
    assert len(scene.link.submits) == 2
