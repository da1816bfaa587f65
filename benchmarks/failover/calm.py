"""The parts in which nothing fails: what the others are held against, and whose CPU time a token costs."""

import time
from statistics import median

from benchmarks.failover.bench import Bench
from benchmarks.failover.cpu import by_role, read_processes, roles
from benchmarks.failover.killing import WINDOW_S
from benchmarks.failover.stalls import inter_token_times, longest_per_window, num_tokens


def warm_up(bench: Bench, part: str, seconds: float) -> None:
    """Serve for so long unmeasured: with pods that have just started a token takes up to twice as long."""
    with bench.crowd(part) as crowd:
        bench.wait_running(crowd)
        time.sleep(seconds)
        bench.judge(part, crowd)


def rest(bench: Bench, part: str, seconds: float) -> None:
    """Look on for so long."""
    if bench.journal.read("calm", part=part):
        return
    with bench.crowd(part) as crowd:
        bench.wait_running(crowd)
        named, before = roles(bench.deployed.cluster, bench.hand.drivers()), read_processes()
        began = time.monotonic()
        time.sleep(seconds)
        ended = time.monotonic()
        used = by_role(named, before)
        streams = crowd.streams()
        bench.journal.add(
            "calm",
            part=part,
            streams=bench.num_streams,
            seconds=ended - began,
            tokens=num_tokens(streams, began, ended),
            between=sorted(inter_token_times(streams, began, ended)),
            longest=longest_per_window(streams, began, ended, WINDOW_S),
            cpu=used,
        )
        bench.judge(part, crowd)
    last = bench.journal.read("calm", part=part)[-1]
    rate, typical = last["tokens"] / last["seconds"], median(last["between"])
    bench.show(f"{part}: {rate:.1f} tokens/s, {1000 * typical:.0f} ms between two tokens")
