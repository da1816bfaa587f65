import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.chaos.processes import below, listener, number_of_processes, pods_without_spare
from moe_local.process import Records, identify
from moe_local.state import State


def test_who_listens_at_a_pods_address_is_found_at_the_loopback_address_that_stands_for_it() -> None:
    with socket.create_server(("127.244.251.7", 0)) as server:
        assert listener("10.244.251.7", server.getsockname()[1]) == os.getpid()


def test_nobody_at_the_address_is_an_error_so_that_nothing_is_left_unwatched() -> None:
    with socket.create_server(("127.244.251.7", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(LookupError, match=f"port {port} of the pod at 10.244.251.8"):
            listener("10.244.251.8", port)


def test_a_process_is_below_its_parent_and_not_below_itself() -> None:
    assert os.getpid() in below(os.getppid())
    assert os.getpid() not in below(os.getpid())


def test_a_process_that_is_left_below_the_nodes_daemon_is_counted(tmp_path: Path) -> None:
    here = identify(os.getpid())
    assert here is not None
    State(tmp_path).create()
    Records(State(tmp_path).processes).write("nodes", here)
    before = number_of_processes(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE):
        assert number_of_processes(tmp_path) == before + 1


def test_where_no_cluster_runs_nothing_is_left(tmp_path: Path) -> None:
    assert number_of_processes(tmp_path) == 0


@pytest.mark.parametrize(("children", "without"), [(1, 1), (2, 0)])
def test_a_pod_has_its_spare_once_its_fork_server_has_a_process_that_is_no_rank(children: int, without: int) -> None:
    fork = "cat <&3 & echo $!; "
    server = ["sh", "-c", "exec 3<&0; " + fork * children + "wait"]
    with subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        pids = [int(running.stdout.readline()) for _ in range(children)]
        assert pods_without_spare(pids[:1]) == without
