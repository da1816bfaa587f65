"""Which processes belong to a cluster, and what each of them is. Reads /proc alone."""

import os
import socket
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from benchmarks.chaos.memory import Size, sizes_of
from benchmarks.failover.cpu import read_processes, roles
from benchmarks.failover.kills import Hand
from demo.cluster import Cluster
from moe_local.nodes.addresses import loopback
from moe_local.process import Records
from moe_local.state import State

LISTEN = "0A"
OPERATOR_PORT = 8081
"""Of its health, in manifests/40-operator.yaml: no other kind of pod has it."""
SHOWN = ("gateway", "operator", "supervisor", "fork server", "rank", "nodes")


def places(root: Path, gateway: int) -> dict[str, int | None]:
    """The nodes' daemon, the gateway, and everything else below the daemon by its number."""
    daemon = _daemon(root)
    if daemon is None:
        return {}
    others = {f"process {pid}": pid for pid in below(daemon) if pid != gateway}
    return {"nodes": daemon, "gateway": gateway, **others}


def number_of_processes(root: Path) -> int:
    """How many processes run below the nodes' daemon: pods, and what they are started by."""
    daemon = _daemon(root)
    return 0 if daemon is None else len(below(daemon))


def pods_without_spare(ranks: Collection[int]) -> int:
    """Pods whose fork server has no process beyond its ranks: it forks the spare a while after the last of them."""
    processes = read_processes()
    servers = {processes[pid].parent for pid in ranks if pid in processes}
    with_spare = {
        process.parent for pid, process in processes.items() if process.parent in servers and pid not in ranks
    }
    return len(servers - with_spare)


def below(root: int) -> set[int]:
    """Every process that descends from `root`."""
    children = defaultdict(list)
    for pid, process in read_processes().items():
        children[process.parent].append(pid)
    found, wave = set[int](), {root}
    while wave:
        wave = {child for pid in wave for child in children[pid]} - found
        found |= wave
    return found


def sizes(cluster: Cluster, hand: Hand, gateway: int) -> dict[str, Size]:
    """The memory of each role now; of the control plane, which is not ours, none."""
    named = roles(cluster, hand.drivers())
    operators = _holders(lambda place: place.endswith(f":{OPERATOR_PORT:04X}"))
    named |= dict.fromkeys(operators & named.keys(), "operator") | {gateway: "gateway"}
    return sizes_of(named, SHOWN)


def listener(address: str, port: int) -> int:
    """The process that accepts connections at the port of a pod's address. LookupError when none does."""
    wanted = f"{int.from_bytes(socket.inet_aton(loopback(address)), 'little'):08X}:{port:04X}"
    found = _holders(lambda place: place == wanted)
    if not found:
        raise LookupError(f"no process listens at port {port} of the pod at {address}; see `moe-local status`")
    return min(found)


def _daemon(root: Path) -> int | None:
    found = Records(State(root).processes).read("nodes")
    return None if found is None else found.pid


def _holders(is_meant: Callable[[str], bool]) -> set[int]:
    """Processes with a listening socket whose place, in the kernel's hexadecimal, is meant."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[3] == LISTEN and is_meant(row[1])}
    return {pid for pid in read_processes() if inodes & _files(pid)}


def _files(pid: int) -> set[str]:
    """What a process has open, without what it closes meanwhile."""
    found = set()
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(os.readlink(entry))
    return found
