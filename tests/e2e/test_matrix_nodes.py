"""The failure matrix: what happens to pods and nodes, by accident and by a person's will, under running streams."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from demo.observe import Seat
from moe_api import names
from moe_local.state import State
from moe_worker.supervisor.incarnations import RESERVED
from tests.e2e.bed import NODES, Bed
from tests.e2e.processes import send, supervisor

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.slow]
can_filter = pytest.mark.skipif(os.geteuid() != 0, reason="cutting nodes off from each other needs root")
WORKERS = f"{names.LABEL_APP_COMPONENT}={names.COMPONENT_WORKER}"

can_mount = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")


def test_a_pod_deleted_by_a_user_is_replaced_and_its_experts_return(bed: Bed) -> None:
    before, seat, mark = bed.deployed.snapshot(), bed.seat(6), bed.told.mark()
    with bed.streams():
        bed.cluster.kubectl("delete", "pod", seat.pod, "--wait=false")
        bed.until("another pod has the seat", lambda: bed.seat(6).pod != seat.pod)
        bed.until("everything is at home again", bed.is_at_home)
    changes = before.changes_to(bed.deployed.snapshot())
    assert changes.pods == {seat.pod, bed.seat(6).pod}
    assert changes.stages <= bed.touched(seat)
    bed.assert_told(mark, seat.stage, ("PodLost", "ExpertRehosted"), ("ExpertReturned",))
    bed.assert_told(mark, seat.stage, ("PodReplaced",), ("ExpertReturned",))
    bed.assert_said(mark, seat.stage, "Degraded", "True PodLost", "False Healthy")


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
    bed.assert_told(mark, seat.stage, ("Evacuating",), ("Evacuated",), ("PodReplaced",), ("ExpertReturned",))
    bed.assert_said(mark, seat.stage, "Degraded", "False Healthy")
    assert all(bed.seat(one.rank).incarnation > 0 for one in mates)


def test_a_cordoned_node_is_left_while_its_pod_runs_on(bed: Bed) -> None:
    seat = bed.quiet_seat()
    before, mark = bed.deployed.snapshot(), bed.told.mark()
    mates = {one.rank for one in bed.pod_mates(seat)}
    with bed.streams():
        bed.cluster.moe_local("kubectl", "cordon", seat.node)
        bed.until("the node holds nothing", lambda: not any(map(bed.hosts, mates)))
        bed.cluster.moe_local("kubectl", "uncordon", seat.node)
        bed.until("everything is at home again", bed.is_at_home)
    assert bed.deployed.snapshot().pods == before.pods
    bed.assert_told(mark, seat.stage, ("Evacuating",), ("Evacuated",), ("ExpertReturned",))


def test_a_gpu_that_is_to_be_evacuated_is_left_and_taken_again_when_the_word_is_taken_back(bed: Bed) -> None:
    before, seat, mark = bed.deployed.snapshot(), bed.seat(5), bed.told.mark()
    with bed.streams():
        bed.patch_failover(evacuate=[{"node": seat.node, "gpu": seat.gpu}])
        bed.until("the GPU holds nothing", lambda: not bed.hosts(5))
        assert {one for rank in range(8) if rank != 5 for one in bed.seat(rank).experts} == set(before.experts)
        bed.patch_failover(evacuate=[])
        bed.until("everything is at home again", bed.is_at_home)
    assert bed.deployed.snapshot().pods == before.pods
    bed.assert_told(mark, seat.stage, ("Evacuating",), ("Evacuated",), ("ExpertReturned",))


def test_a_node_that_loses_its_power_is_left_at_once_and_used_again_when_it_is_back(bed: Bed) -> None:
    seat = bed.quiet_seat()
    before, mark = bed.deployed.snapshot(), bed.told.mark()
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
    bed.assert_told(mark, seat.stage, ("HostSilent", "ExpertRehosted"), ("ExpertReturned",))
    bed.assert_said(mark, seat.stage, "Degraded", "True HostSilent", "False Healthy")


def test_a_node_that_only_the_api_server_has_lost_serves_on_and_nothing_moves(bed: Bed) -> None:
    seat = bed.quiet_seat()
    before, mark = bed.deployed.snapshot(), bed.told.mark()
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
    assert mark.events(seat.stage) == []
    assert mark.conditions(seat.stage, "Degraded") == []


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
    bed.assert_told(mark, seat.stage, ("HostSilent", "ExpertRehosted"), ("ExpertReturned",))
    bed.assert_said(mark, seat.stage, "Degraded", "True HostSilent", "False Healthy")


@can_mount
def test_on_a_full_disk_ranks_and_their_supervisor_are_replaced_as_ever(bed: Bed) -> None:
    """The disk of a pod's log, state folder and projections. Nothing that serves, or heals, needs room on it."""
    spare = spare_node(bed)
    with small_disk(State(bed.cluster.state).node(spare) / "pods") as disk, pod_on(bed, spare) as seat:
        before, mark = bed.deployed.snapshot(), bed.told.mark()
        fill(disk)
        with bed.streams() as crowd:
            bed.deployed.fail(seat, "exit")
            bed.until("another process has the seat", lambda: bed.seat(seat.rank).incarnation > seat.incarnation)
            bed.see_a_round(crowd)
            bed.assert_moved(before, [])
            send([supervisor(bed.cluster, seat)], signal.SIGKILL)
            restarted = before.pods[seat.pod].restarts + 1
            bed.until(
                "its container is restarted", lambda: bed.deployed.snapshot().pods[seat.pod].restarts == restarted
            )
            bed.until("its ranks are new", lambda: bed.seat(seat.rank).incarnation > RESERVED)
            bed.until("everything is at home again", bed.is_at_home)
            known = bed.moves_of(seat)
            bed.deployed.fail(seat, "device")
            bed.wait_for_move(seat, known)
            bed.deployed.heal(seat)
            bed.until("everything is at home again", bed.is_at_home)
        assert is_full(disk)
        assert before.changes_to(bed.deployed.snapshot()).pods == {seat.pod}
        bed.assert_told(mark, seat.stage, ("RankRestarted",), ("GPUFailed",), ("GPUHealed",))


def spare_node(bed: Bed) -> str:
    """The node without a worker's pod."""
    return next(iter({f"node-{number:02d}" for number in range(NODES)} - {seat.node for seat in bed.deployed.seats()}))


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 1 MiB in place of a folder, with nothing in it."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small-disk", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def pod_on(bed: Bed, node: str) -> Iterator[Seat]:
    """A seat of a pod that has come to a node that was empty; in the end the pod leaves it again."""
    old = bed.quiet_seat()
    move_pod(bed, old, lambda now: now == node)
    try:
        yield bed.seat(old.rank)
    finally:
        move_pod(bed, bed.seat(old.rank), lambda now: now not in ("", node))


def move_pod(bed: Bed, seat: Seat, is_there: Callable[[str], bool]) -> None:
    """Have a pod replaced on another node than its own."""
    bed.cluster.kubectl("cordon", seat.node)
    bed.cluster.kubectl("delete", "pod", seat.pod, "--wait=false")
    bed.until("another pod has the seat", lambda: is_there(bed.seat(seat.rank).node))
    bed.cluster.kubectl("uncordon", seat.node)
    bed.until("everything is at home", bed.is_at_home)


def fill(disk: Path) -> None:
    """Write until nothing more fits."""
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))
    assert is_full(disk)


def is_full(disk: Path) -> bool:
    """Whether not a single page is left."""
    return os.statvfs(disk).f_bavail == 0
