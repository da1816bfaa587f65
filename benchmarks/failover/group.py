"""The part that does what a group restart does: every pod of the replica goes and comes again, under the same load."""

import time

from benchmarks.failover.bench import Bench
from benchmarks.failover.crowd import Crowd
from benchmarks.failover.stalls import common_silence
from moe_api import names

SETTLE_S = 3.0
AVAILABLE_LIMIT_S = 400.0
FLOW_LIMIT_S = 60.0
LOOK_S = 1.0


def restart_group(bench: Bench, mode: str, *, number: int) -> None:
    """`mode` says how containers start: warm or cold. The time counts from the deletion to tokens of any stream."""
    _heal_all(bench)
    for _ in range(len(bench.journal.read("group", mode=mode)), number):
        with bench.crowd(f"group-{mode}") as crowd:
            bench.wait_running(crowd)
            time.sleep(SETTLE_S)
            _restart(bench, crowd, mode)


def _heal_all(bench: Bench) -> None:
    """New pods may land on a GPU that an earlier part broke, and would wait there for ever."""
    for seat in bench.deployed.seats():
        bench.hand.heal(seat)


def _restart(bench: Bench, crowd: Crowd, mode: str) -> None:
    before, began = _uids(bench), time.monotonic()
    labels = {names.LABEL_DEPLOYMENT: bench.deployed.name, names.LABEL_APP_COMPONENT: names.COMPONENT_WORKER}
    bench.deployed.cluster.delete_all("pods", labels)

    def is_replaced() -> bool:
        # The status of a moment ago still says that all is well.
        now = _uids(bench)
        return len(now) == len(before) and not now & before and bench.is_available()

    available = bench.wait_until("the replica serves again", is_replaced, AVAILABLE_LIMIT_S, every_s=LOOK_S)
    since = time.monotonic()

    def flows() -> bool:
        return any(stream.arrivals and stream.arrivals[-1] > since for stream in crowd.streams())

    bench.wait_until("tokens flow again", flows, FLOW_LIMIT_S)
    first, last = common_silence(crowd.streams(), began, time.monotonic())
    stall, failed = last - first, len(crowd.failed())
    bench.journal.add("group", mode=mode, stall=stall, until_tokens=last - began, available=available, failed=failed)
    bench.show(f"group restart, {mode}: no tokens for {stall:.1f} s, {failed} requests failed meanwhile")


def _uids(bench: Bench) -> set[str]:
    return {pod.uid for pod in bench.deployed.snapshot().pods.values()}
