from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from moe_local import gpus
from moe_local.errors import LocalError, StartError
from moe_local.gpus import How
from moe_local.nodes.gpus import Gpus
from moe_local.state import Settings, State

SETTINGS = Settings(nodes=2, gpus_per_node=2)
DRIVER = (
    "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print('up', flush=True); input()"
)


@pytest.fixture
def state(tmp_path: Path) -> State:
    one = State(tmp_path)
    for node in SETTINGS.node_names:
        Gpus(one.node(node), SETTINGS.gpus_per_node).open()
    return one


def test_an_unknown_gpu_is_refused_with_what_there_is(state: State) -> None:
    with pytest.raises(LocalError, match="node-07: no such node; there are node-00, node-01"):
        gpus.fail(state, SETTINGS, "node-07", 0, How.DEVICE)
    with pytest.raises(LocalError, match="2: no such GPU; a node of this cluster has 0 to 1"):
        gpus.heal(state, SETTINGS, "node-01", 2)


def test_a_device_fails_and_heals_without_a_driver(state: State) -> None:
    gpus.fail(state, SETTINGS, "node-01", 1, How.DEVICE, "XID 79: a long story")
    assert gpus.read(state, "node-01", 1).health == "failed: XID 79: a long story"
    gpus.heal(state, SETTINGS, "node-01", 1)
    assert {one.health for one in gpus.inspect(state, SETTINGS)} == {"healthy"}


def test_exit_needs_a_process_to_kill(state: State) -> None:
    with pytest.raises(LocalError, match="no process drives it"):
        gpus.fail(state, SETTINGS, "node-00", 0, How.EXIT)


def test_the_process_that_holds_the_lock_is_the_driver_and_dies(state: State) -> None:
    file = state.gpu_file("node-00", 1)
    command = [sys.executable, "-c", DRIVER, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert gpus.driver_of(file) == process.pid
        gpus.fail(state, SETTINGS, "node-00", 1, How.EXIT)
        assert process.wait(5) == -9
    assert gpus.driver_of(file) is None
    assert gpus.read(state, "node-00", 1).health == "healthy"


def test_allocations_are_disjoint_and_survive_the_daemon(tmp_path: Path) -> None:
    first = Gpus(tmp_path, 4)
    first.open()
    assert first.allocate("a", "main", 2) == [0, 1]
    assert first.allocate("b", "main", 1) == [2]
    with pytest.raises(StartError, match="requested 2, available 1"):
        first.allocate("c", "main", 2)
    first.release("a")
    assert first.allocate("c", "main", 3) == [0, 1, 3]

    again = Gpus(tmp_path, 4)
    again.open()
    assert again.allocate("c", "main", 3) == [0, 1, 3]
    again.retain({"b"})
    assert again.allocate("d", "main", 1) == [0]


def test_a_container_is_told_its_gpus_in_order(tmp_path: Path) -> None:
    one = Gpus(tmp_path, 4)
    told = one.environment([1, 3])
    assert told["NVIDIA_VISIBLE_DEVICES"] == "1,3"
    assert told["MOE_CPU_DEVICES"] == f"{tmp_path}/gpus/1,{tmp_path}/gpus/3"


def test_a_slow_gpu_says_by_how_much_and_kills_nobody(state: State) -> None:
    gpus.fail(state, SETTINGS, "node-00", 0, How.SLOW, factor=12.5)
    assert gpus.read(state, "node-00", 0).health == "slow: 12.5"
    with pytest.raises(LocalError, match="--factor 1: a slow GPU takes longer than before; choose more than 1"):
        gpus.fail(state, SETTINGS, "node-00", 0, How.SLOW, factor=1)


def test_the_device_plugin_offers_a_withdrawn_gpu_to_nobody(tmp_path: Path) -> None:
    one = Gpus(tmp_path, 4)
    one.open()
    one.withdrawn = {1}
    assert one.num_offered == 3
    assert one.allocate("a", "main", 2) == [0, 2]


def test_a_container_s_status_tells_the_health_of_the_gpus_that_it_has(tmp_path: Path) -> None:
    one = Gpus(tmp_path / "node-03", 4)
    one.open()
    one.allocate("a", "main", 2)
    one.unhealthy = {1, 3}
    assert one.statuses("a", "main") == {
        "name": "nvidia.com/gpu",
        "resources": [
            {"resourceID": "node-03/0", "health": "Healthy"},
            {"resourceID": "node-03/1", "health": "Unhealthy"},
        ],
    }
    assert one.statuses("a", "sidecar") == {}
