"""The failure matrix: several GPUs, GPUs that others report, that are slow, that come and go, and storms of them."""

import json
import time

import pytest

from demo.observe import Seat
from tests.e2e.bed import GPUS_PER_NODE, Bed, now

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.slow]
SECONDS_OF_PEACE = 3.0
"""How long nothing may move while the breaker is open: far longer than any commit takes."""


@pytest.mark.parametrize("place", ["condition", "taint", "allocatable", "resource"])
def test_a_gpu_that_others_report_as_bad_is_left_before_it_fails(bed: Bed, place: str) -> None:
    """Where the word names the GPU it alone is left, else every GPU of the node; nothing is restarted."""
    before, seat, mark = bed.deployed.snapshot(), bed.seat(6), bed.told.mark()
    with bed.streams():
        bed.cluster.moe_local("gpu", "report", seat.node, str(seat.gpu), "--as", place)
        bed.until("the GPU holds nothing", lambda: not bed.hosts(6))
        if place == "resource":
            assert bed.hosts(7)
        bed.cluster.moe_local("gpu", "report", seat.node, str(seat.gpu), "--clear")
        bed.until("everything is at home again", bed.is_at_home)
    assert bed.deployed.snapshot().pods == before.pods
    bed.assert_told(mark, seat.stage, ("Evacuating",), ("Evacuated",), ("ExpertReturned",))
    bed.assert_said(mark, seat.stage, "Degraded", "True GPUReportedBad", "False Healthy")


def test_a_gpu_whose_device_is_tainted_by_its_dra_driver_is_left_alone_of_its_node(bed: Bed) -> None:
    """As NVIDIA's DRA driver tells of an XID: a taint of the device in its ResourceSlice."""
    before, seat, mark = bed.deployed.snapshot(), bed.seat(6), bed.told.mark()
    try:
        with bed.streams():
            bed.cluster.kubectl("apply", "-f", "-", stdin=resource_slice(seat, tainted=True))
            bed.until("the GPU holds nothing", lambda: not bed.hosts(6))
            assert bed.hosts(7)
            bed.cluster.kubectl("apply", "-f", "-", stdin=resource_slice(seat, tainted=False))
            bed.until("everything is at home again", bed.is_at_home)
    finally:
        bed.cluster.kubectl("delete", "resourceslice", seat.node, "--ignore-not-found")
    assert bed.deployed.snapshot().pods == before.pods
    bed.assert_told(mark, seat.stage, ("Evacuating",), ("Evacuated",), ("ExpertReturned",))
    bed.assert_said(mark, seat.stage, "Degraded", "True GPUReportedBad", "False Healthy")


def resource_slice(seat: Seat, *, tainted: bool) -> str:
    """All GPUs of the seat's node as a driver offers them, the seat's own with the taint of a fatal XID or without."""
    taint = {"key": "gpu.nvidia.com/xid", "value": "79", "effect": "NoSchedule"}
    devices = [
        {"name": f"gpu-{gpu}", "attributes": {"uuid": {"string": f"{seat.node}/{gpu}"}}} for gpu in range(GPUS_PER_NODE)
    ]
    offered = [one | ({"taints": [taint]} if tainted and gpu == seat.gpu else {}) for gpu, one in enumerate(devices)]
    return json.dumps(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": seat.node},
            "spec": {
                "driver": "gpu.nvidia.com",
                "nodeName": seat.node,
                "pool": {"name": seat.node, "generation": 1, "resourceSliceCount": 1},
                "devices": offered,
            },
        }
    )


@pytest.mark.parametrize("moment", ["at once", "committed", "served"])
def test_a_second_gpu_of_the_stage_dies_during_the_failover_of_the_first(bed: Bed, moment: str) -> None:
    before, first, second, mark = bed.deployed.snapshot(), bed.seat(4), bed.seat(6), bed.told.mark()
    known = bed.moves_of(first)
    with bed.streams():
        bed.deployed.fail(first, "device")
        if moment == "committed":
            bed.until("the first is left", lambda: not bed.hosts(4), every=0.02)
        if moment == "served":
            bed.wait_for_move(first, known)
        bed.deployed.fail(second, "device")
        bed.until("both are left", lambda: not bed.hosts(4) and not bed.hosts(6))
    bed.assert_moved(before, [first, second])
    bed.assert_told(mark, first.stage, ("GPUFailed", "ExpertRehosted"))
    bed.assert_said(mark, first.stage, "Degraded", "True RankMasked")


def test_a_gpu_dies_that_was_just_given_the_expert_of_a_dead_one(bed: Bed) -> None:
    before, seats, first, mark = bed.deployed.snapshot(), bed.deployed.seats(), bed.seat(6), bed.told.mark()
    with bed.streams():
        bed.deployed.fail(first, "device")
        bed.until("another rank is chosen", lambda: not bed.hosts(6), every=0.02)
        [rank] = bed.deployed.snapshot().experts[first.experts[0]]
        bed.deployed.fail(seats[rank], "device")
        bed.until("it is left too", lambda: not bed.hosts(rank))
    bed.assert_moved(before, [first, seats[rank]])
    bed.assert_told(mark, first.stage, ("GPUFailed", "ExpertRehosted"))
    bed.assert_said(mark, first.stage, "Degraded", "True RankMasked")


def test_all_gpus_of_a_stage_but_one_and_then_all(bed: Bed) -> None:
    bed.patch_failover(breakerShare=1.0)
    bed.until("the stages know the share", lambda: bed.stage_of(bed.seat(4)).spec.failover.breaker_share == 1.0)
    before, seats, mark = bed.deployed.snapshot(), [bed.seat(rank) for rank in range(4, 8)], bed.told.mark()
    with bed.streams() as crowd:
        for seat in seats[:3]:
            bed.deployed.fail(seat, "device")
        bed.until("one rank holds all", lambda: not any(map(bed.hosts, (4, 5, 6))))
        bed.see_a_round(crowd)
        bed.assert_moved(before, seats[:3])
        bed.deployed.fail(seats[3], "device")
        bed.until("it is told", lambda: "False ExpertsLost" in mark.conditions(seats[0].stage, "Available"))
        bed.deployed.heal(seats[3])
        bed.until("it serves again", lambda: "True AllExpertsReady" in mark.conditions(seats[0].stage, "Available"))
        bed.see_a_round(crowd)
    assert bed.deployed.snapshot().pods == before.pods
    bed.assert_told(mark, seats[0].stage, ("GPUFailed", "ExpertRehosted"), ("ExpertsLost",))
    bed.assert_said(mark, seats[0].stage, "Available", "False ExpertsLost", "True AllExpertsReady")
    bed.assert_said(mark, seats[0].stage, "Degraded", "True RankMasked", "True ExpertsLost", "True RankMasked")


def test_a_slow_gpu_is_left_although_it_works(bed: Bed) -> None:
    before, seat, mark = bed.deployed.snapshot(), bed.seat(6), bed.told.mark()
    with bed.streams():
        bed.deployed.fail(seat, "slow")
        bed.until("the GPU holds nothing", lambda: not bed.hosts(6), timeout=60)
        bed.deployed.heal(seat)
        bed.until("everything is at home again", bed.is_at_home)
    assert bed.deployed.snapshot().pods == before.pods
    bed.assert_told(mark, seat.stage, ("Evacuating",), ("Evacuated",), ("ExpertReturned",))
    bed.assert_said(mark, seat.stage, "Degraded", "True GPUSlow", "False Healthy")


def test_a_gpu_that_flaps_waits_twice_as_long_after_each_failure(bed: Bed) -> None:
    before, seat, mark = bed.deployed.snapshot(), bed.seat(6), bed.told.mark()
    waits = []
    with bed.streams():
        for _ in range(3):
            bed.deployed.fail(seat, "device")
            bed.until("it is left", lambda: not bed.hosts(6))
            bed.deployed.heal(seat)
            healed = time.monotonic()
            bed.until("everything is at home again", bed.is_at_home)
            waits.append(time.monotonic() - healed)
    [record] = [one for one in bed.stage_of(seat).spec.history if one.gpu == seat.gpu and one.node == seat.node]
    assert record.failures == 3
    assert waits[2] > 8
    assert bed.deployed.snapshot().pods == before.pods
    bed.assert_told(mark, seat.stage, ("GPUFailed",), ("GPUHealed",), ("ExpertReturned",))
    twice = ("True RankMasked", "False Healthy") * 2
    bed.assert_said(mark, seat.stage, "Degraded", *twice, "True GPUFlapping", "False Healthy")


def test_in_a_storm_nothing_moves_until_a_person_says_so(bed: Bed) -> None:
    seats = [bed.seat(rank) for rank in (1, 3, 5, 7)]
    before, marks = bed.deployed.snapshot(), bed.told.mark()
    with bed.streams() as crowd:
        bed.fail_together(seats)
        bed.until("the breaker is open", lambda: any(bed.stage_of(seat).spec.paused for seat in seats), every=0.02)
        held = {seat.rank for seat in seats if bed.hosts(seat.rank)}
        assert held, "every GPU was left before the breaker opened"
        time.sleep(SECONDS_OF_PEACE)
        assert {seat.rank for seat in seats if bed.hosts(seat.rank)} == held
        said = [mark for seat in seats for mark in marks.conditions(seat.stage, "Degraded")]
        assert "True BreakerOpen" in said
        bed.patch_failover(breakerReleased=now())
        bed.until("all of them are left", lambda: not any(bed.hosts(seat.rank) for seat in seats))
        bed.see_a_round(crowd)
    bed.assert_moved(before, seats)
    # A stage whose GPUs were all left before the breaker opened has nothing to tell of it.
    paused = [stage for stage in sorted({seat.stage for seat in seats}) if "BreakerOpen" in marks.events(stage)]
    assert paused
    for stage in paused:
        bed.assert_told(marks, stage, ("BreakerOpen",), ("BreakerClosed",))
        bed.assert_said(marks, stage, "Degraded", "True BreakerOpen", "True RankMasked")
