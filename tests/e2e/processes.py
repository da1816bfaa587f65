"""The processes of a pod on the embedded cluster, found from the one that drives a GPU of it."""

import os
import signal
from collections.abc import Iterable
from pathlib import Path

from demo.cluster import Cluster
from demo.observe import Seat
from moe_local import gpus
from moe_local.state import State

PROC = Path("/proc")


def find_rank_process(cluster: Cluster, seat: Seat) -> int | None:
    """The process that drives a seat's GPU; None while none does."""
    return gpus.driver_of(State(cluster.state).gpu_file(seat.node, seat.gpu))


def rank_process(cluster: Cluster, seat: Seat) -> int:
    """The process that drives a seat's GPU."""
    driver = find_rank_process(cluster, seat)
    assert driver is not None, f"nobody drives {seat.node} GPU {seat.gpu}"
    return driver


def supervisor(cluster: Cluster, seat: Seat) -> int:
    """The pod's main process: the child of its container's init."""
    process = rank_process(cluster, seat)
    while not _is_init(parent := int(_status(process, "PPid")[0])):
        process = parent
    return process


def pod_processes(cluster: Cluster, seat: Seat) -> list[int]:
    """All processes of the pod that has a seat."""
    namespace = os.readlink(PROC / str(rank_process(cluster, seat)) / "ns" / "pid")
    return [int(one.name) for one in PROC.iterdir() if one.name.isdigit() and _namespace(one) == namespace]


def send(processes: Iterable[int], number: signal.Signals) -> None:
    """Signals those that still live."""
    for process in processes:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue


def _is_init(process: int) -> bool:
    return _status(process, "NSpid")[-1] == "1"


def _status(process: int, field: str) -> list[str]:
    lines = (PROC / str(process) / "status").read_text().splitlines()
    return next(line.split()[1:] for line in lines if line.startswith(f"{field}:"))


def _namespace(process: Path) -> str:
    try:
        return os.readlink(process / "ns" / "pid")
    except OSError:
        return ""
