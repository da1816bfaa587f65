"""The failure matrix: what happens to pods and nodes, by accident and by a person's will, under running streams."""

import os

import pytest

from moe_api import names
from tests.e2e.bed import Bed

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.slow]
can_filter = pytest.mark.skipif(os.geteuid() != 0, reason="cutting nodes off from each other needs root")
WORKERS = f"{names.LABEL_APP_COMPONENT}={names.COMPONENT_WORKER}"


def test_a_pod_deleted_by_a_user_is_replaced_and_its_experts_return(bed: Bed) -> None:
    before, seat, mark = bed.deployed.snapshot(), bed.seat(6), bed.told.mark()
    with bed.streams():
        bed.cluster.kubectl("delete", "pod", seat.pod, "--wait=false")
        bed.until("another pod has the seat", lambda: bed.seat(6).pod != seat.pod)
        bed.until("everything is at home again", bed.is_at_home)
    changes = before.changes_to(bed.deployed.snapshot())
    assert changes.pods == {seat.pod, bed.seat(6).pod}
    assert changes.stages <= bed.touched(seat)
    told = mark.events(seat.stage)
    assert "ExpertRehosted" in told
    assert "PodReplaced" in told


def test_a_drained_node_is_empty_before_its_pod_is_evicted(bed: Bed) -> None:
    seat = bed.quiet_seat()
    before, mark = bed.deployed.snapshot(), bed.told.mark()
    mates = bed.pod_mates(seat)
    with bed.streams():
        drain = ("drain", seat.node, f"--pod-selector={WORKERS}", "--delete-emptydir-data", "--timeout=90s")
        bed.cluster.moe_local("kubectl", *drain)
        bed.until("another pod has the seats", lambda: bed.seat(seat.rank).node not in ("", seat.node))
        bed.until("everything is on its planned ranks again", bed.is_at_home)
    after = bed.deployed.snapshot()
    assert before.changes_to(after).pods == {seat.pod, bed.seat(seat.rank).pod}
    assert before.changes_to(after).stages <= bed.touched(seat)
    told = [one for one in mark.events(seat.stage) if one in ("Evacuating", "Evacuated", "PodReplaced")]
    assert told == ["Evacuating", "Evacuated", "PodReplaced"]
    assert all(bed.seat(one.rank).incarnation > 0 for one in mates)


def test_a_cordoned_node_is_left_while_its_pod_runs_on(bed: Bed) -> None:
    seat = bed.quiet_seat()
    before, mark = bed.deployed.snapshot(), bed.told.mark()
    mates = {one.rank for one in bed.pod_mates(seat)}
    with bed.streams():
        bed.cluster.moe_local("kubectl", "cordon", seat.node)
        bed.until("the node holds nothing", lambda: not any(map(bed.hosts, mates)))
        bed.until("it is told", lambda: "Evacuated" in mark.events(seat.stage))
        bed.cluster.moe_local("kubectl", "uncordon", seat.node)
        bed.until("everything is at home again", bed.is_at_home)
    assert bed.deployed.snapshot().pods == before.pods


def test_a_gpu_that_is_to_be_evacuated_is_left_and_taken_again_when_the_word_is_taken_back(bed: Bed) -> None:
    before, seat, mark = bed.deployed.snapshot(), bed.seat(5), bed.told.mark()
    with bed.streams():
        bed.patch_failover(evacuate=[{"node": seat.node, "gpu": seat.gpu}])
        bed.until("the GPU holds nothing", lambda: not bed.hosts(5))
        assert {one for rank in range(8) if rank != 5 for one in bed.seat(rank).experts} == set(before.experts)
        bed.patch_failover(evacuate=[])
        bed.until("everything is at home again", bed.is_at_home)
    assert bed.deployed.snapshot().pods == before.pods
    told = [one for one in mark.events(seat.stage) if one in ("Evacuating", "Evacuated", "ExpertReturned")]
    assert told == ["Evacuating", "Evacuated", "ExpertReturned"]


def test_a_node_that_loses_its_power_is_left_at_once_and_used_again_when_it_is_back(bed: Bed) -> None:
    seat = bed.quiet_seat()
    before = bed.deployed.snapshot()
    mates = {one.rank for one in bed.pod_mates(seat)}
    with bed.streams() as crowd:
        bed.cluster.moe_local("node", "stop", seat.node)
        bed.until("its ranks are left", lambda: not any(map(bed.hosts, mates)), timeout=20)
        bed.see_a_round(crowd)
        bed.cluster.moe_local("node", "start", seat.node)
        bed.until("everything is at home again", bed.is_at_home)
    changes = before.changes_to(bed.deployed.snapshot())
    assert changes.pods <= {seat.pod, bed.seat(seat.rank).pod}
    assert changes.stages <= bed.touched(seat)


def test_a_node_that_only_the_api_server_has_lost_serves_on_and_nothing_moves(bed: Bed) -> None:
    seat = bed.quiet_seat()
    before = bed.deployed.snapshot()
    assert is_ready(bed, seat.node) == "True"
    with bed.streams() as crowd:
        bed.cluster.moe_local("node", "partition", seat.node, "--from", "api")
        bed.until(
            "Kubernetes takes the node for lost",
            lambda: is_ready(bed, seat.node) == "Unknown",
            timeout=90,
            every=2,
        )
        bed.see_a_round(crowd)
        bed.assert_moved(before, [])
        bed.cluster.moe_local("node", "rejoin", seat.node)
        bed.until("Kubernetes has it back", lambda: is_ready(bed, seat.node) == "True")
    bed.assert_moved(before, [])


def is_ready(bed: Bed, node: str) -> str:
    """What Kubernetes holds of a node: True, False or Unknown."""
    status = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
    return bed.cluster.moe_local("kubectl", "get", "node", node, "-o", status)


@can_filter
@pytest.mark.parametrize("side", ["peers", "all"])
def test_a_node_that_its_peers_have_lost_is_left_and_disturbs_nothing_when_it_returns(bed: Bed, side: str) -> None:
    seat = bed.quiet_seat()
    before, mark = bed.deployed.snapshot(), bed.told.mark()
    mates = {one.rank for one in bed.pod_mates(seat)}
    with bed.streams() as crowd:
        bed.cluster.moe_local("node", "partition", seat.node, "--from", side)
        bed.until("its ranks are left", lambda: not any(map(bed.hosts, mates)), timeout=20)
        bed.see_a_round(crowd)
        bed.cluster.moe_local("node", "rejoin", seat.node)
        bed.see_a_round(crowd)
        bed.until("everything is at home again", bed.is_at_home)
    changes = before.changes_to(bed.deployed.snapshot())
    assert changes.pods <= {seat.pod, bed.seat(seat.rank).pod}
    assert changes.stages <= bed.touched(seat)
    assert "HostSilent" in mark.events(seat.stage)
