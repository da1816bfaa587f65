from moe_wire.messages import Dispatch, NotHere, Result, Step
from moe_worker.protocol.compute import Routed
from moe_worker.protocol.links import Links
from moe_worker.protocol.requests import Requests
from tests.moe_worker.protocol.recording import ROWS, RecordingTransport

LANE, TERM, STEP, LAYER, EXPERT = 0, 9, 1, 2, 40
OWN, FIRST, SECOND = 0, 1, 2


class Desk:
    """Requests of rank 0 that is connected to `peers`."""

    def __init__(self, hosts: tuple[int, ...], peers: tuple[int, ...]) -> None:
        self.transport = RecordingTransport()
        self.links = Links(OWN, self.transport)
        self.requests = Requests(self.links)
        self.requests.follow({EXPERT: hosts})
        for peer in peers:
            self.connect(peer)

    def connect(self, peer: int) -> None:
        self.links.connected(peer, 1)
        self.requests.on_connected(peer)

    def lose(self, peer: int) -> None:
        self.links.lost(peer)
        self.requests.on_lost(peer)

    def ask(self, step: int = STEP) -> None:
        self.requests.ask(Step(LANE, TERM, step, (), (), ROWS), LAYER, [Routed(EXPERT, ROWS)])

    def asked(self) -> list[tuple[int, int]]:
        """(host, attempt) of what was sent since the last look."""
        return [
            (peer, message.attempt) for peer, message in self.transport.take_sent() if isinstance(message, Dispatch)
        ]


def result(attempt: int, *, step: int = STEP, term: int = TERM) -> Result:
    return Result(LANE, term, step, LAYER, EXPERT, attempt, ROWS)


def not_here(attempt: int) -> NotHere:
    return NotHere(LANE, TERM, STEP, LAYER, EXPERT, attempt)


def test_an_answer_counts_once() -> None:
    desk = Desk((FIRST,), (FIRST,))
    desk.ask()
    assert desk.asked() == [(FIRST, 1)]
    assert desk.requests.settle(FIRST, result(1))
    assert not desk.requests.settle(FIRST, result(1))
    assert desk.requests.num_outstanding == 0


def test_an_answer_of_another_attempt_step_term_or_host_does_not_count() -> None:
    desk = Desk((FIRST,), (FIRST, SECOND))
    desk.ask()
    for peer, answer in (
        (FIRST, result(0)),
        (FIRST, result(2)),
        (FIRST, result(1, step=STEP + 1)),
        (FIRST, result(1, term=TERM - 1)),
        (SECOND, result(1)),
    ):
        assert not desk.requests.settle(peer, answer)
    assert desk.requests.settle(FIRST, result(1))


def test_a_lost_host_is_asked_again_when_it_is_back() -> None:
    desk = Desk((FIRST,), (FIRST,))
    desk.ask()
    desk.asked()
    desk.lose(FIRST)
    assert desk.asked() == []
    assert desk.requests.stalled == (EXPERT,)
    desk.connect(FIRST)
    assert desk.asked() == [(FIRST, 2)]
    assert desk.requests.stalled == ()


def test_a_live_copy_takes_over_at_once() -> None:
    desk = Desk((FIRST, SECOND), (FIRST, SECOND))
    desk.ask()
    desk.asked()
    desk.lose(FIRST)
    assert desk.asked() == [(SECOND, 2)]
    assert not desk.requests.settle(FIRST, result(1))
    assert desk.requests.settle(SECOND, result(2))


def test_an_expert_without_any_host_waits_for_the_view_to_name_one() -> None:
    desk = Desk((), (FIRST,))
    desk.ask()
    assert desk.asked() == []
    assert desk.requests.stalled == (EXPERT,)
    desk.requests.follow({EXPERT: (FIRST,)})
    assert desk.asked() == [(FIRST, 1)]


def test_a_view_that_names_another_host_moves_what_is_outstanding() -> None:
    desk = Desk((FIRST,), (FIRST, SECOND))
    desk.ask()
    desk.asked()
    desk.requests.follow({EXPERT: (SECOND,)})
    assert desk.asked() == [(SECOND, 2)]
    assert not desk.requests.settle(FIRST, result(1)), "an old attempt does not count though its rows would be right"
    assert desk.requests.settle(SECOND, result(2))


def test_it_stays_with_the_old_host_until_a_named_one_can_be_reached() -> None:
    desk = Desk((FIRST,), (FIRST,))
    desk.ask()
    desk.asked()
    desk.requests.follow({EXPERT: (SECOND,)})
    assert desk.asked() == []
    assert desk.requests.settle(FIRST, result(1))
    desk.ask(STEP + 1)
    desk.connect(SECOND)
    assert desk.asked() == [(SECOND, 1)]


def test_a_refused_sub_batch_is_asked_again_after_20_ms() -> None:
    desk = Desk((FIRST,), (FIRST,))
    desk.ask()
    desk.asked()
    desk.requests.refuse(FIRST, not_here(1), 5.0)
    assert desk.asked() == []
    assert desk.requests.next_deadline() == 5.02
    desk.requests.tick(5.01)
    assert desk.asked() == []
    desk.requests.tick(5.02)
    assert desk.asked() == [(FIRST, 2)]
    assert desk.requests.next_deadline() is None


def test_a_refused_sub_batch_goes_to_another_host_at_once_and_never_back_without_pause() -> None:
    desk = Desk((FIRST, SECOND), (FIRST, SECOND))
    desk.ask()
    desk.asked()
    desk.requests.refuse(FIRST, not_here(1), 5.0)
    assert desk.asked() == [(SECOND, 2)]
    desk.requests.refuse(SECOND, not_here(2), 5.0)
    assert desk.asked() == []
    desk.requests.tick(5.02)
    assert desk.asked() == [(FIRST, 3)]


def test_losing_the_last_host_asks_those_again_that_refused() -> None:
    desk = Desk((FIRST, SECOND), (FIRST, SECOND))
    desk.ask()
    desk.asked()
    desk.requests.refuse(FIRST, not_here(1), 5.0)
    desk.asked()
    desk.lose(SECOND)
    assert desk.asked() == [(FIRST, 3)]


def test_an_abandoned_sub_batch_must_be_answered_before_that_host_is_asked_again() -> None:
    desk = Desk((FIRST,), (FIRST,))
    desk.ask()
    desk.asked()
    desk.requests.abandon(LANE, [EXPERT])
    assert desk.requests.num_outstanding == 0
    desk.ask(STEP + 1)
    assert desk.asked() == []
    assert not desk.requests.settle(FIRST, result(1))
    assert desk.asked() == [(FIRST, 1)]
    assert desk.requests.settle(FIRST, result(1, step=STEP + 1))


def test_a_debt_ends_with_its_connection() -> None:
    desk = Desk((FIRST,), (FIRST,))
    desk.ask()
    desk.requests.abandon(LANE, [EXPERT])
    desk.asked()
    desk.lose(FIRST)
    desk.connect(FIRST)
    desk.ask(STEP + 1)
    assert desk.asked() == [(FIRST, 1)]


def test_lanes_share_the_copies() -> None:
    desk = Desk((FIRST, SECOND), (FIRST, SECOND))
    for lane in (0, 1, 2):
        desk.requests.ask(Step(lane, TERM, STEP, (), (), ROWS), LAYER, [Routed(EXPERT, ROWS)])
    assert [peer for peer, _ in desk.asked()] == [FIRST, SECOND, FIRST]


def test_a_rank_that_holds_the_expert_asks_itself() -> None:
    desk = Desk((FIRST, OWN), (FIRST,))
    desk.ask()
    assert desk.asked() == []
    assert desk.links.looped
