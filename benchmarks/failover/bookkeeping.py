"""What fault tolerance costs while nothing fails: ranks are sampled by CPU time, and samples told apart by function.

Ranks run as the cluster's do, but without Kubernetes, so that what drives them can be wrapped. Only what falls between
the first and the last token counts, not how they start.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.cpu_time import cpu_seconds
from benchmarks.failover.counted import BY_CLOCK, kind_of
from demo.cluster import CommandError
from moe_worker.fork_server import RunRank
from moe_worker.local import LocalCluster
from moe_worker.main import import_rank

MODEL = Path(__file__).resolve().parents[2] / "models" / "speaking"
IN_FLIGHT, TOKENS, WARM_UP_TOKENS = 16, 120, 8
LIMIT_S = 400.0
WRITTEN_LIMIT_S = 5.0
EVERY_S = 0.002
LOOP = ("rank_loop.py", "run")


class Sampler:
    """Where this process is, once in so much of its CPU time, with the moment."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, tuple[str, str] | None]] = []

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _sample(self, number: int, frame: FrameType | None) -> None:
        stack, is_in_loop = [], False
        while frame is not None and not is_in_loop:
            path, function = frame.f_code.co_filename, frame.f_code.co_name
            stack.append((path, function))
            is_in_loop = path.endswith(LOOP[0]) and function == LOOP[1]
            frame = frame.f_back
        if is_in_loop:
            self.samples.append((time.monotonic(), kind_of(stack)))


def profile(stages: int, ranks: int) -> dict[str, Any]:
    """Share of the ranks' CPU time, by kind and by function, and what that time is.

    In a process of its own: torch and the ranks' logs stay there.
    """
    with tempfile.TemporaryDirectory(prefix="moe-bookkeeping-") as made:
        file = Path(made) / "found.json"
        command = [sys.executable, "-m", "benchmarks.failover.bookkeeping", str(stages), str(ranks), str(file)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            raise CommandError(f"the ranks could not be profiled within {LIMIT_S:g} s") from None
        if done.returncode != 0:
            raise CommandError(f"the ranks could not be profiled:\n{done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(file.read_text())
        return found


def measure(stages: int, ranks: int) -> dict[str, Any]:
    """The profile, taken of ranks that are this process's."""
    with tempfile.TemporaryDirectory(prefix="moe-bookkeeping-") as made:
        folder = Path(made)
        with LocalCluster(MODEL, stages=stages, ranks=ranks, prepare=lambda: _sampled(folder)) as cluster:
            prompts = [[5 + number, 9] for number in range(IN_FLIGHT)]
            cluster.generate(prompts, WARM_UP_TOKENS, limit_s=LIMIT_S)
            pids = [cluster.pid(rank) for rank in range(stages * ranks)]
            before, began = cpu_seconds(pids), time.monotonic()
            answers = cluster.generate(prompts, TOKENS, limit_s=LIMIT_S)
            used, ended = cpu_seconds(pids) - before, time.monotonic()
        files = _files(folder, stages * ranks)
        told = [json.loads(file.read_text()) for file in files]
    samples = [kind for one in told for at, kind in one if began <= at < ended]
    kinds = Counter(kind for kind, _ in filter(None, samples))
    functions = Counter(function for _, function in filter(None, samples))
    return {
        "stages": stages,
        "ranks": ranks,
        "share": kinds.total() / len(samples),
        "samples": len(samples),
        "profiled": len(told),
        "kinds": {name: count / len(samples) for name, count in kinds.most_common()},
        "functions": {name: count / len(samples) for name, count in functions.most_common(12)},
        "by_clock": kinds[BY_CLOCK] / len(samples),
        "tokens": sum(map(len, answers)),
        "seconds": ended - began,
        "cores": used / (ended - began),
    }


def _sampled(folder: Path) -> RunRank:
    run_rank = import_rank()

    def run(order: dict[str, Any], control: int) -> int:
        sampler = Sampler()
        sampler.start()
        try:
            return run_rank(order, control)
        finally:
            sampler.stop()
            partial = folder / f"{order['rank']}.part"
            partial.write_text(json.dumps(sampler.samples))
            partial.rename(partial.with_suffix(".json"))

    return run


def _files(folder: Path, number: int) -> list[Path]:
    """What the ranks have written when they were told to end: of hundreds that do so at once some are killed before."""
    deadline = time.monotonic() + WRITTEN_LIMIT_S
    while len(files := list(folder.glob("*.json"))) < number and time.monotonic() < deadline:
        time.sleep(0.5)
    if 2 * len(files) < number:
        raise CommandError(f"{len(files)} of {number} ranks wrote their samples; a profile needs half of them")
    return files


if __name__ == "__main__":
    Path(sys.argv[3]).write_text(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
