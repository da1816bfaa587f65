"""Get this machine ready: `python3 -m setup [setup|demo|test]`.

Needs the standard library alone, and may be stopped at any moment: what is half done is done again.
"""

import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

from setup import machine
from setup.environment import Environment
from setup.errors import SetupError
from setup.jobs import Job, run_all, say

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    purpose = sys.argv[1] if len(sys.argv) > 1 else "setup"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        set_up(purpose)
    except SetupError as error:
        say(f"make {purpose}: {error}")
        return 1
    except KeyboardInterrupt:
        say(f"stopped; `make {purpose}` goes on from here")
        return 130
    return 0


def set_up(purpose: str) -> None:
    """Check the machine, then install Python packages beside building the control plane."""
    environment, began = Environment(ROOT), time.monotonic()
    machine.check_system()
    with (ROOT / ".venv.lock").open("w") as lock:
        _wait_for(lock)
        complete = environment.is_complete()
        machine.check_disk(
            ROOT,
            machine.cache_folder(),
            has_environment=complete,
            has_control_plane=machine.has_control_plane(),
            free=machine.free_bytes,
        )
        if not (ROOT / ".moe-local").exists():
            machine.check_memory(purpose, machine.available_memory())
        if complete:
            run_all([_build(environment)], began=began)
            return
        say("setting up: Python packages into .venv, and the control plane into a cache beside it (minutes, once)")
        environment.prepare(with_go=not machine.has_go(), began=began)
        run_all([environment.fill(), _build(environment)], began=began)
        environment.mark_complete()
        say(f"ready after {time.monotonic() - began:.0f} s")


def _build(environment: Environment) -> Job:
    path = f"{os.environ.get('PATH', '')}:{environment.bin}"
    return Job("control plane", [str(environment.bin / "moe-local"), "build"], {"PATH": path})


def _wait_for(lock: TextIO) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting for another make in this folder to finish its set-up")
        fcntl.flock(lock, fcntl.LOCK_EX)


if __name__ == "__main__":
    sys.exit(main())
