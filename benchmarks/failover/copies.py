"""The part in which every expert has a second live host: the copies are asked for, and given up, while serving."""

import time

from benchmarks.failover.bench import Bench
from benchmarks.failover.killing import kill_ranks
from demo.cluster import CommandError
from demo.observe import read_deployment

COPIES_LIMIT_S = 120.0


def kill_with_copies(bench: Bench, *, number: int, until: float) -> None:
    """Half of the kills by `exit`, half by `device`; nothing where copies cannot be had."""
    halves = {"copies-exit": "exit", "copies-device": "device"}
    if all(len(bench.journal.read("kill", part=part)) >= number // 2 for part in halves):
        return
    if not _ask_for(bench, 2):
        return
    for index, (part, how) in enumerate(halves.items()):
        share = time.monotonic() + (until - time.monotonic()) / (len(halves) - index)
        kill_ranks(bench, part, how, number=number // 2, until=share)


def give_up_copies(bench: Bench) -> None:
    """Back to one host each."""
    _ask_for(bench, 1)


def _ask_for(bench: Bench, copies: int) -> bool:
    cluster, name = bench.deployed.cluster, bench.deployed.name
    began = time.monotonic()
    try:
        cluster.patch("moedeployments", name, {"spec": {"experts": {"copies": copies}}})
    except CommandError as error:
        bench.show(str(error))
        return False

    def has_them() -> bool:
        found = read_deployment(cluster, name)
        return found is not None and found.status.coverage >= copies

    took = bench.wait_until(f"every expert has {copies} hosts", has_them, COPIES_LIMIT_S)
    bench.journal.add("copies", copies=copies, took=took, at=began - bench.began)
    return took is not None
