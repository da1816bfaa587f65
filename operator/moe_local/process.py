"""Processes that outlive the command that starts them: spawn, recognise, stop.

A pid alone is never trusted: it is recorded with the process's start time and the boot's id, and only a process that
still matches all three is signalled.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from moe_local.state import write_atomically


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One process, told apart from every other that had or will have its pid."""

    pid: int
    start_ticks: int
    boot: str


def boot_id() -> str:
    """Changes with every boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> Identity | None:
    """Who has this pid now; None when nobody does, or only a zombie."""
    try:
        # The second field, the program's name, may hold spaces and parentheses: count from the last one.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        num_threads = len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return None
    # A killed process shows as a zombie while other threads of it still end, and still hold its files and ports.
    if fields[0] in "ZX" and num_threads <= 1:
        return None
    return Identity(pid=pid, start_ticks=int(fields[19]), boot=boot_id())


def is_alive(identity: Identity) -> bool:
    """Whether this very process still runs. Reaps it when it is our own dead child."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(identity.pid, os.WNOHANG)
    return identify(identity.pid) == identity


def send(identity: Identity, number: signal.Signals) -> bool:
    """Signals this very process; False when it is gone."""
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    try:
        # The handle pins the process, so it cannot be replaced between this check and the signal.
        if identify(identity.pid) != identity:
            return False
        signal.pidfd_send_signal(handle, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def stop(identities: Sequence[Identity], grace_seconds: float) -> None:
    """SIGTERM, then SIGKILL to what is left after the grace; returns when all are gone."""
    if grace_seconds > 0:
        for identity in identities:
            send(identity, signal.SIGTERM)
        _await_death(identities, grace_seconds)
    for identity in identities:
        send(identity, signal.SIGKILL)
    _await_death(identities, 10.0)


def _await_death(identities: Sequence[Identity], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(is_alive(identity) for identity in identities) and time.monotonic() < deadline:
        time.sleep(0.01)


class Records:
    """The file of each long-lived process of a cluster."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, identity: Identity) -> None:
        """Remembers a process under a name."""
        write_atomically(self._folder / f"{name}.json", json.dumps(asdict(identity)).encode())

    def read(self, name: str) -> Identity | None:
        """The live process of this name; None when there is none."""
        try:
            identity = Identity(**json.loads((self._folder / f"{name}.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return identity if is_alive(identity) else None

    def names(self) -> list[str]:
        """Every name that has a record, alive or not."""
        return sorted(path.stem for path in self._folder.glob("[!.]*.json"))

    def forget(self, name: str) -> None:
        """Removes a record."""
        (self._folder / f"{name}.json").unlink(missing_ok=True)


def spawn(name: str, argv: Sequence[str], env: Mapping[str, str], log: Path, records: Records) -> Identity:
    """Starts a program in a session of its own, with its output appended to a log, and records it.

    Signals wait meanwhile, so that Ctrl-C cannot fall between the start and the record.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        pid = os.posix_spawn(
            argv[0],
            list(argv),
            dict(env),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE],
        )
        identity = identify(pid) or Identity(pid=pid, start_ticks=-1, boot=boot_id())
        records.write(name, identity)
        return identity
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
