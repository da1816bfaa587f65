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
from dataclasses import dataclass

from setup.errors import SetupError

SECONDS_BETWEEN_LINES = 5.0
SECONDS_OF_SILENCE = 20.0
NUM_LAST_LINES = 25
COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Job:
    """One command, and what people call it."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]


class Running:
    """A job that has been started, in a process group of its own, and its last lines."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.last_lines: deque[str] = deque(["starting"], maxlen=NUM_LAST_LINES)
        self.shown = ""
        self.shown_at = time.monotonic()
        self.process = subprocess.Popen(
            job.command,
            env={**os.environ, **job.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def is_over(self) -> bool:
        """Whether the command has ended; its last lines are complete then."""
        if self.process.poll() is None:
            return False
        self._reader.join(timeout=2)
        return True

    def stop(self) -> None:
        """Kill the command with everything that it started; nothing to do once it has ended."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._reader.join(timeout=2)

    def show(self, elapsed: float) -> None:
        """Print the last line, now and then while lines come, and more rarely when none do."""
        silence = time.monotonic() - self.shown_at
        last = self.last_lines[-1]
        if silence < (SECONDS_OF_SILENCE if last == self.shown else SECONDS_BETWEEN_LINES):
            return
        self.shown, self.shown_at = last, time.monotonic()
        say(f"{elapsed:4.0f}s {self.job.name}: {last[:110]}")

    def judge(self) -> None:
        """SetupError with the last lines when the command failed."""
        if self.process.returncode != 0:
            tail = "\n".join(f"  | {line}" for line in self.last_lines)
            raise SetupError(
                f"{self.job.name} failed (exit {self.process.returncode}): {' '.join(self.job.command)}\n{tail}\n"
                "Nothing half done counts as done: solve that and run the same make again."
            )

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                text = COLOURS.sub("", line).strip()
                if text:
                    self.last_lines.append(text)


def run_all(jobs: Sequence[Job], *, began: float) -> None:
    """Run `jobs` at the same time to their end. The first failure stops the others and raises with its last lines.

    `began` is when the whole set-up began, on the monotonic clock: the times shown count from there.
    """
    running: list[Running] = []
    try:
        for job in jobs:
            running.append(Running(job))
        waiting = list(running)
        while waiting:
            time.sleep(0.1)
            elapsed = time.monotonic() - began
            for one in [one for one in waiting if one.is_over()]:
                one.judge()
                say(f"{elapsed:4.0f}s {one.job.name}: done")
                waiting.remove(one)
            for one in waiting:
                one.show(elapsed)
    finally:
        for one in running:
            one.stop()


def say(text: str) -> None:
    """Print one line of progress."""
    print(text, file=sys.stderr, flush=True)
