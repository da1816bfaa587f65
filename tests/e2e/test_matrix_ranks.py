"""The failure matrix: what happens to single ranks, their GPUs and their supervisor, under running streams."""

import signal

import pytest

from tests.e2e.bed import Bed
from tests.e2e.processes import find_rank_process, pod_processes, rank_process, send, supervisor

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.slow]


@pytest.mark.parametrize("how", ["exit", "hang"])
def test_a_rank_whose_gpu_is_fine_comes_back_into_its_seat(bed: Bed, how: str) -> None:
    before, seat, mark = bed.deployed.snapshot(), bed.seat(5), bed.told.mark()
    with bed.streams():
        bed.deployed.fail(seat, how)
        bed.until("another process has the seat", lambda: bed.seat(5).incarnation > seat.incarnation)
    bed.assert_moved(before, [])
    bed.assert_told(mark, seat.stage, ("RankRestarted",))
    assert "True RankMasked" not in mark.conditions(seat.stage, "Degraded")


@pytest.mark.parametrize("rank", [0, 6], ids=["the head of a lane", "a rank of a later stage"])
def test_a_device_that_fails_loses_its_experts_and_lanes_and_gets_them_back_when_it_heals(bed: Bed, rank: int) -> None:
    before, seat, mark = bed.deployed.snapshot(), bed.seat(rank), bed.told.mark()
    known = bed.moves_of(seat)
    with bed.streams():
        bed.deployed.fail(seat, "device")
        move = bed.wait_for_move(seat, known)
        bed.assert_moved(before, [seat])
        bed.deployed.heal(seat)
        bed.until("everything is at home again", bed.is_at_home)
    assert sorted(move.experts) == sorted(seat.experts)
    assert sorted(move.lanes) == sorted(seat.lanes)
    assert bed.deployed.snapshot().pods == before.pods
    bed.assert_told(mark, seat.stage, ("GPUFailed", "ExpertRehosted", "LaneMoved"), ("GPUHealed",), ("ExpertReturned",))
    assert mark.conditions(seat.stage, "Degraded") == ["True RankMasked", "False Healthy"]


def test_a_device_error_that_comes_back_after_each_restart_is_a_failed_gpu(bed: Bed) -> None:
    bed.patch_failover(restartBudget=1)
    bed.until("the stages know the budget", lambda: bed.stage_of(bed.seat(6)).spec.failover.restart_budget == 1)
    before, seat, mark = bed.deployed.snapshot(), bed.seat(6), bed.told.mark()
    known = bed.moves_of(seat)
    with bed.streams():
        killed = rank_process(bed.cluster, seat)
        send([killed], signal.SIGKILL)
        bed.until("it was started again", lambda: find_rank_process(bed.cluster, seat) not in (None, killed))
        send([rank_process(bed.cluster, seat)], signal.SIGKILL)
        move = bed.wait_for_move(seat, known)
    assert "GPUFailed" in move.cause
    assert bed.deployed.snapshot().pods == before.pods
    bed.assert_told(mark, seat.stage, ("GPUFailed", "ExpertRehosted"))
    bed.assert_said(mark, seat.stage, "Degraded", "True RankMasked")


def test_a_supervisor_that_dies_takes_its_ranks_along_and_nothing_is_lost(bed: Bed) -> None:
    before, seat, mark = bed.deployed.snapshot(), bed.seat(5), bed.told.mark()
    with bed.streams():
        send([supervisor(bed.cluster, seat)], signal.SIGKILL)
        restarted = before.pods[seat.pod].restarts + 1
        bed.until("its container is restarted", lambda: bed.deployed.snapshot().pods[seat.pod].restarts == restarted)
        bed.until("everything is at home", bed.is_at_home)
    changes = before.changes_to(bed.deployed.snapshot())
    assert changes.pods == {seat.pod}
    assert changes.stages <= bed.touched(seat)
    bed.assert_told(mark, seat.stage, ("RankRestarted",))


def test_a_pod_that_stands_still_loses_its_seats_and_disturbs_nothing_when_it_goes_on(bed: Bed) -> None:
    """The dead brought back: old incarnations, terms and attempts, all of a pod at once."""
    before, seats, mark = bed.deployed.snapshot(), [bed.seat(6), bed.seat(7)], bed.told.mark()
    stopped = pod_processes(bed.cluster, seats[0])
    with bed.streams() as crowd:
        try:
            send(stopped, signal.SIGSTOP)
            bed.until("its ranks are left", lambda: not bed.hosts(6) and not bed.hosts(7))
            bed.see_a_round(crowd)
        finally:
            send(stopped, signal.SIGCONT)
        bed.see_a_round(crowd)
        bed.until("everything is at home again", bed.is_at_home)
    changes = before.changes_to(bed.deployed.snapshot())
    assert changes.pods <= {seats[0].pod}
    assert changes.stages <= bed.touched(seats[0])
    bed.assert_told(mark, seats[0].stage, ("HostSilent", "ExpertRehosted"), ("ExpertReturned",))
    bed.assert_said(mark, seats[0].stage, "Degraded", "True HostSilent", "False Healthy")


def test_a_rank_that_is_stopped_and_continued_late_finds_its_seat_taken(bed: Bed) -> None:
    before, seat, mark = bed.deployed.snapshot(), bed.seat(4), bed.told.mark()
    stopped = rank_process(bed.cluster, seat)
    with bed.streams() as crowd:
        send([stopped], signal.SIGSTOP)
        bed.until("another process has the seat", lambda: bed.seat(4).incarnation > seat.incarnation)
        send([stopped], signal.SIGCONT)
        bed.see_a_round(crowd)
    bed.assert_moved(before, [])
    bed.assert_told(mark, seat.stage, ("RankRestarted",))
