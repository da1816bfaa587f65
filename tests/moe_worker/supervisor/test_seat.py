"""When a seat is forked again, when its GPU counts as failed, and when it is healthy again."""

from typing import Any

from moe_worker.errors import EXIT_DEVICE, EXIT_MODEL
from moe_worker.supervisor.seat import START_LIMIT_S, Rules, Seat

RULES = Rules(heartbeat_seconds=2.0, restart_budget=3)


def words(**changed: Any) -> dict[str, Any]:
    return {"epoch": 1, "held": [4], "loading": [], "failed": [], "unreachable": [], **changed}


def serving(now: float = 0.0) -> Seat:
    seat = Seat(4, 0, "127.0.0.1:1")
    seat.forked(1, now)
    seat.heard(words(), now)
    seat.beat(now)
    return seat


def test_a_rank_that_dies_is_forked_again_at_once_and_its_gpu_stays_healthy() -> None:
    seat = serving()
    assert seat.state == "serving"
    seat.exited(None, "SIGKILL", 1.0, RULES)
    assert seat.may_fork(1.0)
    assert (seat.state, seat.reason, seat.restarts, seat.experts) == ("starting", "", 1, ())


def test_over_the_budget_the_gpu_is_failed_and_forked_with_backoff() -> None:
    seat = serving()
    for death in range(4):
        seat.exited(None, "SIGSEGV", float(death), RULES)
        seat.forked(death + 2, float(death))
        seat.heard(words(), float(death))
    seat.exited(None, "SIGSEGV", 4.0, RULES)
    assert seat.reason == "rank died 4 times in 60 s: SIGSEGV"
    assert seat.state == "failed"
    assert not seat.may_fork(5.0)
    assert seat.may_fork(60.0)


def test_deaths_further_apart_than_the_window_never_add_up() -> None:
    seat = serving()
    for death in range(20):
        seat.exited(None, "SIGKILL", death * 25.0, RULES)
        seat.forked(death + 2, death * 25.0)
        seat.heard(words(), death * 25.0)
    assert (seat.state, seat.reason) == ("serving", "")


def test_a_seat_over_its_budget_is_healthy_after_a_whole_window_of_life() -> None:
    seat = serving()
    for death in range(4):
        seat.exited(None, "SIGKILL", 0.0, RULES)
        seat.forked(death + 2, 0.0)
        seat.heard(words(), 10.0)
    assert seat.state == "failed"
    seat.tick(69.0)
    assert seat.state == "failed"
    seat.tick(71.0)
    assert (seat.state, seat.reason) == ("serving", "")


def test_a_device_that_does_not_open_is_failed_at_once_and_tried_again_with_backoff() -> None:
    seat = serving()
    seat.exited(None, "SIGKILL", 1.0, RULES)
    for attempt, wait in enumerate((1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0)):
        seat.forked(attempt + 2, 10.0)
        seat.heard({"last_words": "XID 79"}, 10.0)
        seat.exited(EXIT_DEVICE, "exit status 86", 10.0, RULES)
        assert (seat.state, seat.reason) == ("failed", "XID 79")
        assert seat.retry_at() == 10.0 + wait


def test_a_broken_device_is_failed_by_the_ranks_last_words_before_its_process_has_ended() -> None:
    seat = serving()
    seat.exited(None, "SIGKILL", 1.0, RULES)
    seat.forked(2, 1.0)
    seat.heard({"last_words": "XID 79", "code": EXIT_DEVICE}, 1.25)
    assert (seat.state, seat.reason, seat.incarnation) == ("failed", "XID 79", 2)
    seat.exited(EXIT_DEVICE, "exit status 86", 1.5, RULES)
    assert (seat.state, seat.reason, seat.retry_at()) == ("failed", "XID 79", 2.5)


def test_what_is_reported_of_a_broken_device_does_not_change_with_each_attempt() -> None:
    seat = serving()
    seat.exited(None, "SIGKILL", 1.0, RULES)
    reported = set()
    for attempt in range(5):
        seat.forked(attempt + 2, 10.0)
        seat.exited(EXIT_DEVICE, "exit status 86", 10.0, RULES)
        reported.add((seat.state, seat.reason, seat.restarts, seat.incarnation))
    assert len(reported) == 1


def test_a_device_that_opens_again_is_healthy() -> None:
    seat = serving()
    seat.exited(EXIT_DEVICE, "exit status 86", 1.0, RULES)
    seat.forked(2, 1.0)
    seat.exited(EXIT_DEVICE, "exit status 86", 1.0, RULES)
    seat.forked(3, 5.0)
    assert seat.state == "failed"
    seat.heard(words(), 6.0)
    assert (seat.state, seat.reason, seat.incarnation) == ("serving", "", 3)


def test_a_device_error_while_serving_gets_one_immediate_fork_first() -> None:
    seat = serving()
    seat.exited(EXIT_DEVICE, "exit status 86", 1.0, RULES)
    assert seat.reason == ""
    assert seat.may_fork(1.0)


def test_a_wrong_checkpoint_is_an_error_and_no_fault_of_the_gpu() -> None:
    seat = Seat(4, 0, "127.0.0.1:1")
    seat.forked(1, 0.0)
    seat.heard({"last_words": "no folder /models/x: ..."}, 0.0)
    seat.exited(EXIT_MODEL, "exit status 87", 0.0, RULES)
    assert (seat.error, seat.reason, seat.state) == ("no folder /models/x: ...", "", "failed")
    assert not seat.may_fork(0.5)
    seat.forked(2, 1.0)
    seat.heard(words(), 2.0)
    assert (seat.error, seat.state) == ("", "serving")


def test_silence_is_a_hang_only_after_the_first_beat() -> None:
    seat = Seat(4, 0, "127.0.0.1:1")
    seat.forked(1, 0.0)
    assert not seat.is_hung(100.0, RULES)
    assert seat.is_hung(START_LIMIT_S + 1, RULES)
    seat.beat(100.0)
    assert not seat.is_hung(102.0, RULES)
    assert seat.is_hung(102.1, RULES)


def test_time_in_which_nobody_could_have_been_heard_is_forgiven() -> None:
    seat = serving()
    seat.forgive(3.0)
    assert not seat.is_hung(4.9, RULES)
    assert seat.is_hung(5.1, RULES)


def test_a_killed_hang_counts_as_a_death_with_its_own_reason() -> None:
    seat = serving()
    strict = Rules(heartbeat_seconds=2.0, restart_budget=0)
    seat.hung(2.5)
    seat.exited(None, "SIGKILL", 2.6, strict)
    assert seat.reason == "rank died 1 times in 60 s: no sign of life for 2.5 s"


def test_a_gpu_taken_for_broken_by_a_drill_is_failed_until_its_time_whatever_the_rank_says_and_costs_no_restart() -> (
    None
):
    seat = serving()
    seat.take_for_broken("drill d", 5.0)
    seat.heard(words(), 0.1)
    assert (seat.state, seat.reason, seat.is_rehearsed) == ("failed", "drill d", True)
    seat.exited(None, "SIGKILL", 0.2, RULES)
    assert (seat.state, seat.reason, seat.restarts, seat.retry_at()) == ("failed", "drill d", 0, 5.0)
    assert not seat.may_fork(4.9)
    assert seat.may_fork(5.0)
    seat.forked(2, 5.0)
    seat.heard(words(), 5.5)
    assert (seat.state, seat.reason, seat.is_rehearsed, seat.incarnation) == ("serving", "", False, 2)


def test_a_gpu_that_really_is_broken_after_its_drill_is_no_rehearsal_any_more() -> None:
    seat = serving()
    seat.take_for_broken("drill d", 5.0)
    seat.exited(None, "SIGKILL", 0.2, RULES)
    seat.forked(2, 5.0)
    assert (seat.reason, seat.is_rehearsed) == ("drill d", True)
    seat.heard({"last_words": "XID 79", "code": EXIT_DEVICE}, 5.5)
    assert (seat.reason, seat.is_rehearsed) == ("XID 79", False)
    seat.exited(EXIT_DEVICE, "exit status 86", 5.6, RULES)
    assert (seat.state, seat.reason) == ("failed", "XID 79")


def test_what_a_gpu_is_called_is_known_before_it_opens_and_for_ever() -> None:
    seat = Seat(4, 0, "127.0.0.1:1")
    seat.forked(1, 0.0)
    seat.heard({"gpu_id": "node-3/0"}, 0.1)
    assert (seat.gpu_id, seat.state) == ("node-3/0", "starting")
    seat.exited(EXIT_DEVICE, "exit status 86", 0.2, RULES)
    assert (seat.gpu_id, seat.state) == ("node-3/0", "failed")
