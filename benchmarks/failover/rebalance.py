"""The part in which spare copies go to the experts that are chosen most: how much the busiest GPU has to do less.

The ranks share a few cores here, so that who serves a row hardly changes how fast tokens come. What would change where
each rank has a device of its own is the work of the busiest one, which each stage waits for.
"""

import time
from typing import Any

from benchmarks.failover.bench import Bench
from benchmarks.failover.crowd import Crowd
from benchmarks.failover.loads import read_work
from benchmarks.failover.stalls import num_tokens
from demo.observe import is_settled, list_stages

EVERY_S = 5.0
SPARE_SHARE = 2
"""One spare copy for so many ranks of a stage."""
NUM_PROMPTS = 1
"""All streams ask the same, and so the same experts: with many prompts the load is nearly even, and a copy that shares
a GPU with another expert helps only where that one is chosen less than half as often.
"""
LOOK_S = 20.0
FRESH_S = 2 * EVERY_S
"""After which every rank has told what it counted under what is asked for now."""
REST_S = 3 * EVERY_S
LIMIT_S = 300.0


class Rest:
    """Whether the operator has made the copies that it wants: it makes none where they take nothing off the busiest
    rank, so that only their rest tells.
    """

    def __init__(self) -> None:
        self.copies = 0
        self._since = time.monotonic()

    def is_over(self, copies: int) -> bool:
        """`copies` as they are now, -1 while one is on its way."""
        if copies != self.copies:
            self.copies, self._since = copies, time.monotonic()
        return self.copies > 0 and time.monotonic() - self._since > REST_S


def rebalance(bench: Bench, part: str) -> None:
    """Before and after, under the same load; afterwards as it was."""
    if bench.journal.read("rebalance"):
        return
    bench.heal_all()
    seats = bench.deployed.seats()
    stages = len({seat.stage for seat in seats})
    spare = max(1, len(seats) // stages // SPARE_SHARE)
    with bench.crowd(part, NUM_PROMPTS) as crowd:
        bench.wait_running(crowd)
        try:
            _ask_for(bench, 0)
            time.sleep(FRESH_S)
            before = _look(bench, crowd)
            _ask_for(bench, spare)
            rest = Rest()
            took = bench.wait_until("spare copies are where the load is", lambda: rest.is_over(_copies(bench)), LIMIT_S)
            time.sleep(FRESH_S)
            after = _look(bench, crowd)
        finally:
            bench.deployed.cluster.patch(
                "moedeployments", bench.deployed.name, {"spec": {"experts": {"spareCopies": 0, "rebalance": None}}}
            )
        bench.judge(part, crowd)
    shape = {"spare": spare, "stages": stages, "made": rest.copies}
    bench.journal.add("rebalance", streams=bench.num_streams, **shape, took=took, before=before, after=after)
    bench.show(f"{part}: {before['tokens'] / LOOK_S:.1f} tokens/s before, {after['tokens'] / LOOK_S:.1f} after")


def _ask_for(bench: Bench, spare: int) -> None:
    experts = {"spareCopies": spare, "rebalance": {"everySeconds": EVERY_S}}
    bench.deployed.cluster.patch("moedeployments", bench.deployed.name, {"spec": {"experts": experts}})


def _copies(bench: Bench) -> int:
    """The spare copies of all stages; -1 while one is on its way."""
    stages = list_stages(bench.deployed.cluster, bench.deployed.name)
    if not all(map(is_settled, stages)):
        return -1
    return sum(len(one.ranks) - 1 for stage in stages for one in stage.spec.experts)


def _look(bench: Bench, crowd: Crowd) -> dict[str, Any]:
    """Each rank's work by stage, and the tokens meanwhile."""
    cluster, name = bench.deployed.cluster, bench.deployed.name
    stages = {seat.rank: seat.stage for seat in bench.deployed.seats()}
    began, before = time.monotonic(), read_work(cluster, name)
    time.sleep(LOOK_S)
    ended, after = time.monotonic(), read_work(cluster, name)
    work = {rank: one.since(before[rank]) for rank, one in after.items() if rank in before}
    ranks = [
        {"rank": rank, "stage": stages[rank], "rows": one.rows, "passes": one.passes, "seconds": one.seconds}
        for rank, one in sorted(work.items())
    ]
    tokens = num_tokens(crowd.streams(), began, ended)
    return {"seconds": ended - began, "tokens": tokens, "ranks": ranks}
