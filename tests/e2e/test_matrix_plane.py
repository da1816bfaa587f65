"""The failure matrix: the gateway, the operator, the API server, and the volume that experts are loaded from."""

import time

import pytest

from benchmarks.failover.crowd import Crowd, wrong_tokens
from demo.streams import differing
from moe_api import names
from tests.e2e.bed import NUM_STREAMS, PROMPTS, Bed

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.slow]
GATEWAYS = f"{names.LABEL_APP_COMPONENT}={names.COMPONENT_GATEWAY}"
OPERATOR = ("-n", "moe-system", "delete", "pod", "--all", "--grace-period=0", "--force")
OUTAGE_SECONDS = 60.0


def test_a_gateway_that_dies_breaks_its_own_streams_and_nothing_else(bed: Bed) -> None:
    before, mark = bed.deployed.snapshot(), bed.told.mark()
    with Crowd(bed.url, bed.deployed.model, PROMPTS, NUM_STREAMS, prefix="gateway") as crowd:
        bed.until("every stream has begun", lambda: len(crowd.running()) == NUM_STREAMS)
        bed.cluster.kubectl("delete", "pod", "-l", GATEWAYS, "--grace-period=0", "--force")
        bed.until("its streams broke", lambda: len(crowd.failed()) >= NUM_STREAMS)
        bed.until("another one is ready", lambda: len(crowd.running()) == NUM_STREAMS)
        bed.see_a_round(crowd)
    assert wrong_tokens(crowd.asked, bed.expected) == []
    bed.assert_moved(before, [])
    bed.assert_said(mark, bed.deployed.name, "Available", "False GatewayNotReady", "True AllExpertsReady")
    bed.assert_told(mark, bed.deployed.name, ("GatewayNotReady",), ("AllExpertsReady",))


def test_a_gateway_that_is_drained_ends_its_streams_first(bed: Bed) -> None:
    before, mark = bed.deployed.snapshot(), bed.told.mark()

    def drain() -> None:
        bed.cluster.kubectl("delete", "pod", "-l", GATEWAYS, "--wait=false")

    streams = bed.deployed.stream(bed.url, PROMPTS, event=drain, after_tokens=8, show=lambda _: None)
    assert differing(streams, bed.expected) == []
    bed.assert_moved(before, [])
    assert all(mark.events(stage) == [] for stage in before.epochs)


def test_a_gpu_that_dies_while_the_operator_is_away_is_left_when_it_returns(bed: Bed) -> None:
    before, seat, mark = bed.deployed.snapshot(), bed.seat(6), bed.told.mark()
    known = bed.moves_of(seat)
    with bed.streams():
        bed.cluster.moe_local("kubectl", *OPERATOR)
        bed.deployed.fail(seat, "device")
        bed.wait_for_move(seat, known)
    bed.assert_moved(before, [seat])
    bed.assert_told(mark, seat.stage, ("GPUFailed", "ExpertRehosted"))
    bed.assert_said(mark, seat.stage, "Degraded", "True RankMasked")


def test_an_operator_that_dies_in_mid_failover_is_followed_by_one_that_ends_it(bed: Bed) -> None:
    """What it did not come to tell of its last commit is in the conditions, which the next one describes anew."""
    before, seat, mark = bed.deployed.snapshot(), bed.seat(5), bed.told.mark()
    known = bed.moves_of(seat)
    with bed.streams():
        bed.deployed.fail(seat, "device")
        bed.until("the GPU is left", lambda: not bed.hosts(5), every=0.02)
        bed.cluster.moe_local("kubectl", *OPERATOR)
        bed.wait_for_move(seat, known)
        bed.deployed.heal(seat)
        bed.until("everything is at home again", bed.is_at_home)
    assert bed.deployed.snapshot().pods == before.pods
    bed.assert_told(mark, seat.stage, ("GPUHealed",), ("ExpertReturned",))
    bed.assert_said(mark, seat.stage, "Degraded", "True RankMasked", "False Healthy")


def test_without_the_api_server_ranks_heal_and_what_needs_it_waits(bed: Bed) -> None:
    before, forked, dead, mark = bed.deployed.snapshot(), bed.seat(5), bed.seat(6), bed.told.mark()
    with bed.streams() as crowd:
        bed.cluster.moe_local("plane", "stop", "apiserver", "--kill")
        gone = time.monotonic()
        bed.deployed.fail(forked, "exit")
        bed.see_a_round(crowd)
        bed.deployed.fail(dead, "device")
        time.sleep(max(0.0, gone + OUTAGE_SECONDS - time.monotonic()))
        bed.cluster.moe_local("plane", "start", "apiserver")
        bed.until("the GPU is left", lambda: not bed.hosts(6))
        bed.see_a_round(crowd)
    bed.assert_moved(before, [dead])
    assert bed.seat(5).incarnation > forked.incarnation
    bed.assert_told(mark, dead.stage, ("RankRestarted",))
    bed.assert_told(mark, dead.stage, ("GPUFailed", "ExpertRehosted"))
    bed.assert_said(mark, dead.stage, "Degraded", "True RankMasked")


def test_an_expert_whose_checkpoint_is_gone_is_told_and_served_once_it_is_there(bed: Bed) -> None:
    """A process that has the checkpoint open goes on with it; one that begins anew finds nothing to load from."""
    before, seat, mark = bed.deployed.snapshot(), bed.seat(6), bed.told.mark()
    folder = bed.checkpoint.folder
    away = folder.rename(folder.with_name("away"))
    try:
        with bed.streams() as crowd:
            bed.deployed.fail(seat, "exit")
            bed.until("it is told", lambda: any("True" in one for one in mark.conditions(seat.stage, "Degraded")))
            away.rename(folder)
            bed.see_a_round(crowd)
            bed.until("everything is at home", bed.is_at_home)
    finally:
        if away.exists():
            away.rename(folder)
    assert bed.deployed.snapshot().pods == before.pods
    assert "True RankMasked" not in mark.conditions(seat.stage, "Degraded")
    bed.assert_said(mark, seat.stage, "Degraded", "True WorkerError", "False Healthy")
