"""Two stages of two ranks, supervised by a thread; some of them are killed, and the other ones live through it all."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from benchmarks.soak.gateway import SHAPE
from moe_worker.local import LocalCluster

STAGES = RANKS_PER_STAGE = 2
VICTIMS = (0, 3)
"""The head of one lane and the end of the other. The other two ranks live all the time, so that a leak would show."""
MODEL_FLAGS = {
    "layers": "layers",
    "experts": "experts",
    "experts-per-token": "expertsPerToken",
    "hidden": "hiddenSize",
    "heads": "heads",
    "kv-heads": "keyValueHeads",
    "head-dim": "headSize",
    "ffn": "expertFfnSize",
    "vocab": "vocabularySize",
}
"""What make_checkpoint calls each size of SHAPE."""


def make_model(folder: Path) -> None:
    """Random weights of SHAPE. In a process of its own, so that the ranks' memory holds nothing of it."""
    flags = [text for flag, field in MODEL_FLAGS.items() for text in (f"--{flag}", str(SHAPE[field]))]
    command = [sys.executable, "-m", "moe_worker.make_checkpoint", str(folder), *flags]
    subprocess.run(command, check=True, stdout=sys.stderr)


class Ranks:
    """The processes of a cluster that is being supervised."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self._turns = count()
        self.kills = 0

    @property
    def addresses(self) -> list[str]:
        """Of the first stage's ranks, which head the lanes."""
        return [seat.address or "" for seat in self._cluster.layout()[0].seats.values()]

    @property
    def restarts(self) -> int:
        return sum(seat.restarts for seat in self._cluster.crew.seats())

    @property
    def secret_file(self) -> Path:
        return self._cluster.secret_file

    def pids(self) -> dict[str, int | None]:
        """Who sits where; None for a moment where one has died."""
        ranks = {f"rank {rank}": member.pid for rank, member in sorted(self._cluster.crew.members.items())}
        return {**ranks, "fork server": self._cluster.fork_server_pid}

    def are_ready(self) -> bool:
        return self._cluster.is_ready()

    def kill_next(self) -> None:
        """Kill a victim, unless it is not back yet."""
        pid = self._cluster.crew.members[VICTIMS[next(self._turns) % len(VICTIMS)]].pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            self.kills += 1


@contextmanager
def running_ranks(model: Path) -> Iterator[Ranks]:
    """Until the end of the block."""
    stop = threading.Event()
    with ExitStack() as stack:
        with _standard_output_to_error():
            cluster = stack.enter_context(LocalCluster(model, stages=STAGES, ranks=RANKS_PER_STAGE))

        def supervise() -> None:
            while not stop.is_set():
                cluster.pump()

        thread = threading.Thread(target=supervise)
        thread.start()
        try:
            yield Ranks(cluster)
        finally:
            stop.set()
            thread.join()


@contextmanager
def _standard_output_to_error() -> Iterator[None]:
    """For who is forked meanwhile, for ever: ranks log to standard output, which is the report's."""
    saved = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
