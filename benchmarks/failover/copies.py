"""The part that asks for another number of live hosts of every expert, while nothing else happens."""

from benchmarks.failover.bench import Bench
from demo.observe import read_deployment
from demo.waiting import NeverHappened

LIMIT_S = 90.0


def host_often(bench: Bench, copies: int) -> None:
    """Until every expert has so many hosts. Raises NeverHappened where that does not come about."""
    cluster, name = bench.deployed.cluster, bench.deployed.name
    cluster.patch("moedeployments", name, {"spec": {"experts": {"copies": copies}}})

    def has_them() -> bool:
        found = read_deployment(cluster, name)
        return found is not None and found.status.coverage == copies

    took = bench.wait_until(f"every expert has {copies} hosts", has_them, LIMIT_S)
    bench.journal.add("copies", copies=copies, took=took)
    if took is None:
        raise NeverHappened(f"not every expert had {copies} hosts within {LIMIT_S:g} s")
