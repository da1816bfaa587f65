"""Failing and healing a GPU from the outside, as bad hardware would: through its health file and its driver."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from moe_local.errors import LocalError
from moe_local.state import Settings, State

HEALTHY = "healthy"
DEFAULT_REASON = "XID 79: GPU has fallen off the bus"
DEFAULT_FACTOR = 10.0
# struct flock: l_type, l_whence, l_start, l_len, l_pid.
FLOCK = "hhqqi4x"


class How(StrEnum):
    """The ways in which a GPU, or the process that drives it, can fail; slow: it only takes longer."""

    EXIT = "exit"
    HANG = "hang"
    DEVICE = "device"
    SLOW = "slow"


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU of one node."""

    node: str
    index: int
    health: str
    driver: int | None
    """The pid of the process that drives it."""


def inspect(state: State, settings: Settings) -> list[Gpu]:
    """Every GPU of the cluster."""
    return [read(state, node, index) for node in settings.node_names for index in range(settings.gpus_per_node)]


def read(state: State, node: str, index: int) -> Gpu:
    """How one GPU is and who drives it."""
    file = state.gpu_file(node, index)
    return Gpu(node=node, index=index, health=file.read_text().strip(), driver=driver_of(file))


def check(settings: Settings, node: str, index: int) -> None:
    """Raises LocalError when the cluster has no such GPU."""
    if node not in settings.node_names:
        raise LocalError(f"{node}: no such node; there are {', '.join(settings.node_names)}")
    if not 0 <= index < settings.gpus_per_node:
        raise LocalError(f"{index}: no such GPU; a node of this cluster has 0 to {settings.gpus_per_node - 1}")


def fail(
    state: State,
    settings: Settings,
    node: str,
    index: int,
    how: How,
    reason: str = DEFAULT_REASON,
    factor: float = DEFAULT_FACTOR,
) -> str:
    """Makes a GPU fail; says what was done."""
    check(settings, node, index)
    file = state.gpu_file(node, index)
    if how is How.SLOW:
        return _slow_down(file, f"{node} GPU {index}", factor)
    if how is How.DEVICE:
        # Before the kill: whoever opens the device next must find it broken.
        _write(file, f"failed: {reason}")
    driver = driver_of(file)
    if driver is None:
        if how is How.DEVICE:
            return f"{node} GPU {index} has failed ({reason}); no process was driving it"
        raise LocalError(
            f"{node} GPU {index}: no process drives it, so there is none to {how.value};"
            " see `moe-local gpu list`, or use --how device"
        )
    os.kill(driver, signal.SIGSTOP if how is How.HANG else signal.SIGKILL)
    done = {How.EXIT: "was killed", How.HANG: "was stopped", How.DEVICE: f"was killed; the device says: {reason}"}
    return f"{node} GPU {index}: process {driver} {done[how]}"


def heal(state: State, settings: Settings, node: str, index: int) -> str:
    """Makes a GPU whole again; says what was done."""
    check(settings, node, index)
    file = state.gpu_file(node, index)
    _write(file, HEALTHY)
    driver = driver_of(file)
    if driver is not None:
        os.kill(driver, signal.SIGCONT)
    return f"{node} GPU {index} is healthy"


def driver_of(file: Path) -> int | None:
    """The pid that holds the exclusive POSIX lock of a health file."""
    question = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    with open(file, "r+b") as handle:
        answer = struct.unpack(FLOCK, fcntl.fcntl(handle, fcntl.F_GETLK, question))
    return int(answer[4]) if answer[0] != fcntl.F_UNLCK and answer[4] > 0 else None


def _slow_down(file: Path, gpu: str, factor: float) -> str:
    if factor <= 1:
        raise LocalError(f"--factor {factor:g}: a slow GPU takes longer than before; choose more than 1")
    _write(file, f"slow: {factor:g}")
    return f"{gpu} takes {factor:g} times as long"


def _write(file: Path, text: str) -> None:
    # In place: the driver has this very file open and locked.
    with open(file, "r+") as handle:
        handle.write(text)
        handle.truncate()
