from moe_worker.protocol.view import SeatView
from moe_worker.transport.dialing import Dialing

SEAT = SeatView(rank=1, pod_uid="u", gpu=0, address="127.0.0.1:1")


def test_the_backoff_is_a_quarter_of_the_time_away_and_half_a_second_at_most() -> None:
    dialing = Dialing(SEAT, 0.0)
    waits = []
    for _ in range(20):
        dialing.started()
        dialing.failed(10.0)
        assert dialing.retry_at is not None
        waits.append(dialing.retry_at - 10.0)
    assert [round(wait, 4) for wait in waits[:4]] == [0.01, 0.0125, 0.0156, 0.0195]
    assert all(wait <= 0.0101 + sum(waits[:number]) / 4 for number, wait in enumerate(waits))
    assert [round(wait, 3) for wait in waits[17:]] == [0.444, 0.5, 0.5]


def test_a_peer_that_shows_itself_is_dialled_at_once_and_then_as_at_first() -> None:
    dialing = Dialing(SEAT, 0.0)
    for _ in range(8):
        dialing.failed(10.0)
    dialing.hurry(10.25)
    assert dialing.is_due(10.25)
    dialing.started()
    dialing.failed(11.0)
    assert dialing.retry_at == 11.01


def test_an_attempt_that_is_under_way_is_left_alone() -> None:
    dialing = Dialing(SEAT, 0.0)
    dialing.started()
    dialing.hurry(1.0)
    assert not dialing.is_due(1.0)
