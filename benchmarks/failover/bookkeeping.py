"""What fault tolerance costs while nothing fails: ranks are sampled by CPU time, and samples told apart by function.

Counted is all that a pipeline which restarts as a group could leave out: choosing among hosts and remembering whom one
asked, attempts and debts, deadlines, beats, health, reachability. What is one comparison within a function that is
needed anyway (a step's term) cannot be told apart and is not counted.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from demo.cluster import CommandError
from moe_worker.fork_server import RunRank
from moe_worker.local import LocalCluster
from moe_worker.main import import_rank

MODEL = Path(__file__).resolve().parents[2] / "models" / "speaking"
STAGES, RANKS, IN_FLIGHT, TOKENS = 4, 4, 16, 200
LIMIT_S = 400.0
EVERY_S = 0.002
LOOP = ("rank_loop.py", "run")
BOOKKEEPING = {
    "rank_loop.py": frozenset({"_beat", "_tell", "_tell_load", "_wait"}),
    "requests.py": frozenset(
        {"_choose", "_may_ask", "_owe", "_pay", "_matching", "tick", "next_deadline", "num_rows", "stalled"}
    ),
    "experts.py": frozenset({"next_deadline", "tick"}),
    "heads.py": frozenset({"next_deadline", "tick"}),
    "rank.py": frozenset({"next_deadline", "num_changes", "num_done", "tick"}),
    "deadlines.py": frozenset({"sooner"}),
    "health.py": frozenset({"check", "_read"}),
    "cpu.py": frozenset({"check"}),
    "heartbeats.py": frozenset(),
}
"""Files and their functions; none named means all of the file."""


class Sampler:
    """Counts where this process is, once in so much of its CPU time, by innermost function that is bookkeeping."""

    def __init__(self) -> None:
        self.samples = 0
        self.found: Counter[str] = Counter()

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _sample(self, number: int, frame: FrameType | None) -> None:
        found, is_in_loop = "", False
        while frame is not None:
            file, function = os.path.basename(frame.f_code.co_filename), frame.f_code.co_name
            if not found and _is_bookkeeping(file, function):
                found = f"{file}:{function}"
            is_in_loop = is_in_loop or (file, function) == LOOP
            frame = frame.f_back
        if is_in_loop:
            self.samples += 1
            if found:
                self.found[found] += 1


def profile() -> dict[str, Any]:
    """Share of the ranks' CPU time; the most expensive functions of it; and the CPU time of a token.

    In a process of its own: torch and the ranks' logs stay there.
    """
    with tempfile.TemporaryDirectory(prefix="moe-bookkeeping-") as made:
        file = Path(made) / "found.json"
        command = [sys.executable, "-m", "benchmarks.failover.bookkeeping", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        if done.returncode != 0:
            raise CommandError(f"the ranks could not be profiled:\n{done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(file.read_text())
        return found


def measure() -> dict[str, Any]:
    """The profile, taken of ranks that are this process's."""
    with tempfile.TemporaryDirectory(prefix="moe-bookkeeping-") as made:
        folder = Path(made)
        with LocalCluster(MODEL, stages=STAGES, ranks=RANKS, prepare=lambda: _sampled(folder)) as cluster:
            prompts = [[5 + number, 9] for number in range(IN_FLIGHT)]
            began = time.monotonic()
            answers = cluster.generate(prompts, TOKENS, limit_s=LIMIT_S)
            seconds = time.monotonic() - began
        samples, cpu, found = _sum(folder)
    tokens = sum(map(len, answers))
    return {
        "share": sum(found.values()) / samples,
        "samples": samples,
        "functions": {name: count / samples for name, count in found.most_common(6)},
        "cpu_ms_per_token": 1000 * cpu / tokens,
        "tokens": tokens,
        "seconds": seconds,
    }


def _is_bookkeeping(file: str, function: str) -> bool:
    functions = BOOKKEEPING.get(file)
    return functions is not None and (not functions or function in functions)


def _sampled(folder: Path) -> RunRank:
    run_rank = import_rank()

    def run(order: dict[str, Any], control: int) -> int:
        sampler = Sampler()
        sampler.start()
        try:
            return run_rank(order, control)
        finally:
            sampler.stop()
            told = {"samples": sampler.samples, "found": sampler.found, "cpu": time.process_time()}
            (folder / f"{order['rank']}.json").write_text(json.dumps(told))

    return run


def _sum(folder: Path) -> tuple[int, float, Counter[str]]:
    samples, cpu, found = 0, 0.0, Counter[str]()
    for file in folder.glob("*.json"):
        told = json.loads(file.read_text())
        samples += told["samples"]
        cpu += told["cpu"]
        found.update(told["found"])
    return samples, cpu, found


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(measure()))
