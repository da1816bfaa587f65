"""The report is written at once, then in steps, again until it is through, and never when nothing is new."""

from datetime import UTC, datetime, timedelta

from moe_api.report import LaneLoad, SlowPeer
from moe_worker.supervisor.reporting import Reporter, ReportWriter
from moe_worker.supervisor.seat import Rules, Seat

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_the_first_change_is_due_at_once_and_the_next_after_a_step() -> None:
    writer = ReportWriter()
    writer.offer("a", 1.0)
    assert writer.due(1.0) == "a"
    writer.written("a", 1.0)
    writer.offer("b", 1.01)
    assert writer.due(1.02) is None
    assert writer.next_due() == 1.1
    writer.offer("c", 1.05)
    assert writer.due(1.1) == "c"


def test_a_failed_gpu_does_not_wait_for_the_step() -> None:
    writer = ReportWriter()
    writer.offer("a", 1.0)
    writer.written("a", 1.0)
    writer.offer("b", 1.01, is_urgent=True)
    assert writer.due(1.01) == "b"


def test_what_is_held_waits_a_moment_for_more_and_a_failed_gpu_does_not() -> None:
    writer = ReportWriter()
    writer.hold(1.0)
    writer.offer("starting", 1.0)
    assert writer.due(1.24) is None
    assert writer.due(1.25) == "starting"
    writer.offer("failed", 1.1, is_urgent=True)
    assert writer.due(1.1) == "failed"


def test_what_is_late_already_is_not_held() -> None:
    writer = ReportWriter()
    writer.offer("failed", 1.0, is_urgent=True)
    writer.hold(1.01)
    writer.offer("failed, and another starting", 1.01)
    assert writer.due(1.01) == "failed, and another starting"


def test_what_has_been_written_is_never_written_again() -> None:
    writer = ReportWriter()
    writer.offer("a", 1.0)
    writer.written("a", 1.0)
    writer.offer("b", 2.0)
    writer.offer("a", 2.0)
    assert writer.due(100.0) is None
    assert writer.next_due() is None


def test_failures_are_retried_for_ever_with_a_capped_backoff() -> None:
    writer, now, waits = ReportWriter(), 0.0, []
    writer.offer("a", now)
    for _ in range(8):
        assert writer.due(now) == "a"
        writer.failed(now)
        due = writer.next_due()
        assert due is not None
        waits.append(round(due - now, 3))
        now = due
        writer.offer("a", now, is_urgent=True)
    assert waits == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5]


def seat(rank: int = 0) -> Seat:
    seat = Seat(rank, rank, f"127.0.0.1:{rank + 1}")
    seat.forked(1, 0.0)
    return seat


def heard(seat: Seat, **changed: object) -> Seat:
    seat.heard({"epoch": 3, "held": [1, 0], "loading": [], "failed": [], "unreachable": [], **changed}, 0.0)
    return seat


def test_a_report_says_the_same_until_something_changes() -> None:
    clock = iter(NOON + timedelta(seconds=second) for second in range(100))
    reporter = Reporter(lambda: next(clock))
    seats = [heard(seat(1)), heard(seat(0))]
    first = reporter.build(3, seats, "", {}).to_json()
    assert reporter.build(3, seats, "", {}).to_json() == first


def test_since_moves_only_with_the_state_and_a_failed_seat_has_no_address() -> None:
    now = [NOON]
    reporter = Reporter(lambda: now[0])
    one = heard(seat())
    reporter.build(3, [one], "", {})
    now[0] += timedelta(seconds=5)
    heard(one, held=[2])
    assert reporter.build(3, [one], "", {}).seats[0].since == "2026-01-01T12:00:00.000Z"
    one.exited(None, "SIGKILL", 1.0, Rules(heartbeat_seconds=2.0, restart_budget=0))
    report = reporter.build(3, [one], "", {}).seats[0]
    assert (report.state, report.address, report.since) == ("failed", "", "2026-01-01T12:00:05.000Z")
    assert (report.gpu.healthy, report.gpu.reason) == (False, "rank died 1 times in 60 s: SIGKILL")


def test_a_peer_is_out_of_reach_since_the_first_rank_missed_it_and_that_does_not_tick() -> None:
    now = [NOON]
    reporter = Reporter(lambda: now[0])
    seats = [heard(seat(0), unreachable=[[9, 2.0]]), heard(seat(1), unreachable=[[9, 4.0]])]
    first = reporter.build(3, seats, "", {}).unreachable
    assert [(peer.rank, peer.since) for peer in first] == [(9, "2026-01-01T11:59:56.000Z")]
    now[0] += timedelta(seconds=1)
    heard(seats[0], unreachable=[[9, 3.0]])
    assert reporter.build(3, seats, "", {}).unreachable == first
    heard(seats[0])
    heard(seats[1])
    assert reporter.build(3, seats, "", {}).unreachable == []


def test_ranks_of_the_own_pod_are_never_told_to_be_out_of_reach() -> None:
    seats = [heard(seat(0), unreachable=[[1, 2.0], [9, 2.0]]), heard(seat(1), unreachable=[[0, 2.0]])]
    assert [peer.rank for peer in Reporter(lambda: NOON).build(3, seats, "", {}).unreachable] == [9]


def test_loads_are_told_every_ten_minutes_and_change_no_report_in_between() -> None:
    now = [NOON]
    one, reporter = heard(seat()), Reporter(lambda: now[0])
    lane = {"lane": 0, "waiting": 1, "running": 2, "blocks": 8, "blocks_used": 4, "blocks_cached": 3}
    before = reporter.build(3, [one], "", {})
    one.heard({"load": {"experts": [[5, 70], [1, 30]], "lanes": [lane]}}, 0.0)
    now[0] += timedelta(minutes=10) - timedelta(seconds=1)
    assert reporter.build(3, [one], "", {}) == before
    now[0] += timedelta(seconds=1)
    report = reporter.build(3, [one], "", {}).seats[0]
    assert [(expert.expert, expert.tokens) for expert in report.served] == [(1, 30), (5, 70)]
    assert report.lanes == [LaneLoad(**lane)]
    one.heard({"load": {"experts": [[5, 90], [1, 30]], "lanes": []}}, 0.0)
    now[0] += timedelta(minutes=1)
    assert reporter.build(3, [one], "", {}).seats[0] == report
    reporter.loads_every = timedelta(seconds=30)
    assert reporter.build(3, [one], "", {}).seats[0].served[1].tokens == 90


def test_who_is_slow_is_told_with_the_first_factor_until_it_is_no_longer() -> None:
    now = [NOON]
    reporter = Reporter(lambda: now[0])
    first = reporter.build(3, [], "", {7: 8.04}).slow
    assert first == [SlowPeer(rank=7, factor=8.0, since="2026-01-01T12:00:00.000Z")]
    now[0] += timedelta(seconds=5)
    assert reporter.build(3, [], "", {7: 9.5}).slow == first
    assert reporter.build(3, [], "", {}).slow == []


def test_the_first_error_is_told() -> None:
    one = seat()
    one.error = "no folder"
    assert Reporter(lambda: NOON).build(0, [one], "", {}).error == "no folder"
