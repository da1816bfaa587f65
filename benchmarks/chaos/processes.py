"""Which processes belong to a cluster, and which of them is the gateway. Reads /proc."""

import os
import socket
from collections import defaultdict
from pathlib import Path

from benchmarks.failover.cpu import read_processes
from moe_local.process import Records
from moe_local.state import State

LISTEN = "0A"


def places(root: Path, gateway: int | None) -> dict[str, int | None]:
    """The nodes' daemon, the gateway, and everything else below the daemon by its number."""
    found = Records(State(root).processes).read("nodes")
    if found is None:
        return {}
    others = {f"process {pid}": pid for pid in below(found.pid) if pid != gateway}
    return {"nodes": found.pid, "gateway": gateway, **others}


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


def listener(address: str, port: int) -> int | None:
    """The process that accepts connections at ip:port."""
    wanted = f"{int.from_bytes(socket.inet_aton(address), 'little'):08X}:{port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[1] == wanted and row[3] == LISTEN}
    return next((pid for pid in read_processes() if inodes & _files(pid)), None)


def _files(pid: int) -> set[str]:
    folder, found = Path(f"/proc/{pid}/fd"), set()
    try:
        for entry in folder.iterdir():
            found.add(os.readlink(entry))
    except OSError:
        return set()
    return found
