"""The part that does what a group restart does: every pod of the replica goes and comes again, under the same load.

A stall is measured as where single ranks fail: the longest wait of each stream that ran across it, which the gateway
resubmits. Pods go without grace, which spares the group what a real one waits.
"""

import time
from collections.abc import Sequence

from benchmarks.failover.bench import Bench
from benchmarks.failover.crowd import Asked, Crowd
from benchmarks.failover.stalls import arrivals_until, is_through, longest_gap, spread
from moe_api import names

SETTLE_S = 3.0
GONE_LIMIT_S = 30.0
WHOLE_LIMIT_S = 60.0
FLOW_LIMIT_S = 300.0


def restart_group(bench: Bench, part: str, mode: str) -> None:
    """Once. `mode` says how containers start: warm or cold."""
    if bench.journal.read("group", part=part):
        return
    bench.heal_all()
    with bench.crowd(part) as crowd:
        bench.wait_running(crowd)
        time.sleep(SETTLE_S)
        _restart(bench, crowd, part, mode)


def _restart(bench: Bench, crowd: Crowd, part: str, mode: str) -> None:
    before, running, began = _uids(bench), crowd.running(), time.monotonic()
    labels = {names.LABEL_DEPLOYMENT: bench.deployed.name, names.LABEL_APP_COMPONENT: names.COMPONENT_WORKER}
    bench.deployed.cluster.delete_all("pods", labels)

    bench.wait_until("every pod is gone", lambda: not _uids(bench) & before, GONE_LIMIT_S)
    since = time.monotonic()
    flowing = bench.wait_until("streams go on", lambda: _all_through(running, since), FLOW_LIMIT_S)
    waits, failed = _waits(running, began), [one.name for one in running if one.stream.error]
    bench.journal.add(
        "group",
        part=part,
        mode=mode,
        streams=bench.num_streams,
        running=len(running),
        waits=waits,
        flowing=flowing,
        failed=failed,
    )
    bench.wait_until("the replica is whole", bench.is_available, WHOLE_LIMIT_S, every_s=1.0)
    bench.show(f"{part}: {len(running)} streams waited {spread(waits)}, {len(failed)} of them failed")


def _waits(running: Sequence[Asked], began: float) -> list[float]:
    now = time.monotonic()
    gaps = [longest_gap(arrivals_until(one.stream, now), began, now) for one in running]
    return [later - earlier for earlier, later in filter(None, gaps)]


def _all_through(running: Sequence[Asked], moment: float) -> bool:
    return all(is_through(one.stream, moment) for one in running)


def _uids(bench: Bench) -> set[str]:
    return {pod.uid for pod in bench.deployed.snapshot().pods.values()}
