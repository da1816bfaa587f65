from moe_wire.messages import Dispatch, NotHere, Result
from moe_worker.protocol.experts import Experts
from moe_worker.protocol.links import Links
from tests.moe_worker.protocol.recording import ROWS, RecordingCompute, RecordingTransport

EXPERT = 5


class Host:
    def __init__(self) -> None:
        self.transport = RecordingTransport()
        self.compute = RecordingCompute()
        self.experts = Experts(self.compute, Links(0, self.transport))

    def hold(self, *experts: int) -> None:
        self.experts.follow(set(experts), set(), 0.0)
        self.compute.ended = [(expert, None) for expert in experts]
        self.experts.tick(0.0)
        self.compute.take_calls()


def ask(lane: int, expert: int = EXPERT, attempt: int = 1) -> Dispatch:
    return Dispatch(lane, 1, 1, 0, expert, attempt, ROWS)


def answer(lane: int, expert: int = EXPERT, attempt: int = 1) -> Result:
    return Result(lane, 1, 1, 0, expert, attempt, ROWS)


def refusal(lane: int, expert: int = EXPERT, attempt: int = 1) -> NotHere:
    return NotHere(lane, 1, 1, 0, expert, attempt)


def test_all_lanes_of_an_expert_are_served_in_one_pass() -> None:
    host = Host()
    host.hold(EXPERT)
    host.experts.on_dispatch(1, ask(0))
    host.experts.on_dispatch(2, ask(1))
    assert host.experts.run_one()
    assert host.compute.take_calls() == [("expert", EXPERT, 2)]
    assert host.transport.replied == [(1, answer(0)), (2, answer(1))]
    assert not host.experts.run_one()


def test_what_waits_for_a_load_is_kept_where_nobody_else_serves() -> None:
    host = Host()
    host.experts.follow({EXPERT}, set(), 0.0)
    host.experts.on_dispatch(1, ask(0))
    assert not host.experts.run_one()
    assert host.experts.next_deadline() == 0.0
    host.compute.ended = [(EXPERT, None)]
    host.experts.tick(0.0)
    assert host.experts.run_one()
    assert host.transport.replied == [(1, answer(0))]


def test_a_copy_that_is_still_loading_sends_to_the_others() -> None:
    host = Host()
    host.experts.follow({EXPERT}, {EXPERT}, 0.0)
    host.experts.on_dispatch(1, ask(0))
    assert host.transport.replied == [(1, refusal(0))]


def test_what_is_kept_is_sent_away_once_another_serves() -> None:
    host = Host()
    host.experts.follow({EXPERT}, set(), 0.0)
    host.experts.on_dispatch(1, ask(0))
    host.experts.follow({EXPERT}, {EXPERT}, 0.0)
    assert host.transport.replied == [(1, refusal(0))]


def test_an_expert_that_is_not_here_is_refused() -> None:
    host = Host()
    host.experts.on_dispatch(1, ask(0))
    assert host.transport.replied == [(1, refusal(0))]


def test_an_expert_taken_away_between_question_and_service_is_refused() -> None:
    host = Host()
    host.hold(EXPERT)
    host.experts.on_dispatch(1, ask(0))
    host.experts.follow(set(), set(), 0.0)
    assert host.transport.replied == [(1, refusal(0))]
    assert host.compute.take_calls() == [("drop", EXPERT)]
    assert not host.experts.run_one()


def test_a_lost_connection_takes_its_questions_along() -> None:
    host = Host()
    host.hold(EXPERT)
    host.experts.on_dispatch(1, ask(0))
    host.experts.on_dispatch(2, ask(1))
    host.experts.on_closed(1)
    assert host.experts.num_queued == 1
    host.experts.run_one()
    assert host.transport.replied == [(2, answer(1))]
    host.experts.on_dispatch(2, ask(1))
    host.experts.on_closed(2)
    assert not host.experts.run_one()


def test_a_load_that_fails_is_told_refused_and_tried_again_ever_more_slowly() -> None:
    host = Host()
    host.experts.follow({EXPERT}, set(), 0.0)
    host.experts.on_dispatch(1, ask(0))
    now = 0.0
    for delay in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        host.compute.ended = [(EXPERT, "no such file")]
        host.experts.tick(now)
        assert host.experts.failed == {EXPERT: "no such file"}
        assert host.experts.next_deadline() == now + delay
        host.compute.take_calls()
        host.experts.tick(now + delay - 0.001)
        assert host.compute.take_calls() == []
        now += delay
        host.experts.tick(now)
        assert host.compute.take_calls() == [("load", EXPERT)]
    assert host.transport.replied == [(1, refusal(0))]
    host.compute.ended = [(EXPERT, None)]
    host.experts.tick(now)
    assert host.experts.failed == {}
    assert host.experts.held == {EXPERT}
    assert host.experts.next_deadline() is None


def test_a_load_that_ends_after_the_view_took_the_expert_away_is_forgotten() -> None:
    host = Host()
    host.experts.follow({EXPERT, 6}, set(), 0.0)
    host.experts.follow({6}, set(), 0.0)
    host.compute.ended = [(EXPERT, None)]
    host.experts.tick(0.0)
    assert host.experts.held == set()
