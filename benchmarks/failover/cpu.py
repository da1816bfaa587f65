"""Who used how much CPU time, by what a process is to the system. Reads /proc; knows how moe-local starts pods."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.cluster import Cluster
from moe_local.process import Records
from moe_local.state import State

TICKS = os.sysconf("SC_CLK_TCK")
KERNEL_THREADS = 2
"""The process that is the parent of them all."""


@dataclass(frozen=True, kw_only=True)
class Process:
    parent: int
    seconds: float
    """CPU time of its own."""


def read_processes() -> dict[int, Process]:
    """Every process of this machine."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            seconds = (int(fields[11]) + int(fields[12])) / TICKS
            found[int(folder.name)] = Process(parent=int(fields[1]), seconds=seconds)
    return found


def roles(cluster: Cluster, ranks: Iterable[int]) -> dict[int, str]:
    """What each process of the cluster is: rank, fork server, supervisor, another pod's, or the control plane; and who
    else takes the machine's time: this benchmark, and the kernel's own threads.
    """
    processes, records = read_processes(), Records(State(cluster.state).processes)
    programs = {name: found.pid for name in records.names() if (found := records.read(name)) is not None}
    named = {pid: "the kernel's threads" for pid, process in processes.items() if process.parent == KERNEL_THREADS}
    named[os.getpid()] = "this benchmark"
    named |= {pid: "nodes" if name == "nodes" else "control plane" for name, pid in programs.items()}
    for pid in _below(programs.get("nodes", -1), processes):
        named.setdefault(pid, "operator and gateway")
    for rank in ranks:
        named[rank] = "rank"
        server = processes[rank].parent if rank in processes else -1
        named[server] = "fork server"
        if server in processes:
            named[processes[server].parent] = "supervisor"
    named.pop(-1, None)
    return named


def by_role(named: Mapping[int, str], before: Mapping[int, Process]) -> dict[str, float]:
    """CPU seconds since `before` of those that still live."""
    used: dict[str, float] = defaultdict(float)
    for pid, process in read_processes().items():
        if pid in named:
            used[named[pid]] += process.seconds - (before[pid].seconds if pid in before else 0.0)
    return dict(used)


def _below(root: int, processes: Mapping[int, Process]) -> set[int]:
    found, wave = set[int](), {root}
    while wave:
        wave = {pid for pid, process in processes.items() if process.parent in wave} - found
        found |= wave
    return found
