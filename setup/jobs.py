"""Run commands side by side, show that each one moves, and leave none behind. Knows nothing of what they do."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from errors import SetupError

SECONDS_BETWEEN_LINES = 5.0
SECONDS_OF_SILENCE = 20.0
COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Job:
    """One command, its last lines, and whether it has ended."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=40))
    process: subprocess.Popen | None = None
    reader: threading.Thread | None = None
    shown: str = ""

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            text = COLOURS.sub("", line).strip()
            if text:
                self.lines.append(text)

    def stop(self) -> None:
        """Kill the command with everything that it started; a no-op once it has ended."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def run_all(jobs: Sequence[Job]) -> None:
    """Run `jobs` at the same time to their end. The first failure stops the others and raises with its last lines."""
    began = time.monotonic()
    try:
        for job in jobs:
            job.start()
        _watch(jobs, began)
    finally:
        for job in jobs:
            job.stop()


def _watch(jobs: Sequence[Job], began: float) -> None:
    running, spoke = list(jobs), dict.fromkeys((job.name for job in jobs), began)
    while running:
        time.sleep(0.1)
        now = time.monotonic()
        for job in list(running):
            if job.process.poll() is not None:
                running.remove(job)
                _finish(job, now - began)
            elif _show(job, now - began, now - spoke[job.name]):
                spoke[job.name] = now


def _show(job: Job, elapsed: float, silence: float) -> bool:
    last = job.lines[-1] if job.lines else "starting"
    if silence < SECONDS_BETWEEN_LINES or (last == job.shown and silence < SECONDS_OF_SILENCE):
        return False
    job.shown = last
    say(f"{elapsed:4.0f}s {job.name}: {last[:110]}")
    return True


def _finish(job: Job, elapsed: float) -> None:
    job.reader.join(timeout=2)
    if job.process.returncode != 0:
        tail = "\n".join(f"  | {line}" for line in list(job.lines)[-25:])
        raise SetupError(
            f"{job.name} failed (exit {job.process.returncode}): {' '.join(job.command)}\n{tail}\n"
            "Nothing half done is kept as ready: solve that and run the same make again."
        )
    say(f"{elapsed:4.0f}s {job.name}: done")


def say(text: str) -> None:
    """Print one line of progress."""
    print(text, file=sys.stderr, flush=True)
