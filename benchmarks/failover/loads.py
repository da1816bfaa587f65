"""What the ranks counted of their experts' work, from the supervisors' /metrics: rows, and passes with their times."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import httpx

from demo.cluster import Cluster
from demo.observe import list_workers
from moe_api import names
from moe_local.nodes.addresses import loopback

SAMPLE = re.compile(r'^(\w+)\{rank="(\d+)"[^}]*\} (\S+)$', re.M)
ROWS, PASSES = "moe_expert_tokens_total", "moe_expert_passes_total"
TIMED, SECONDS = "moe_expert_pass_seconds_count", "moe_expert_pass_seconds_sum"


@dataclass(frozen=True, kw_only=True)
class Work:
    """One rank's, since its process started: rows and passes over experts' weights, and what they took by its clock."""

    rows: float = 0.0
    passes: float = 0.0
    seconds: float = 0.0

    def since(self, before: "Work") -> "Work":
        """Never below 0: a process that is new has counted from nothing."""
        return Work(
            rows=max(0.0, self.rows - before.rows),
            passes=max(0.0, self.passes - before.passes),
            seconds=max(0.0, self.seconds - before.seconds),
        )


def read_work(cluster: Cluster, deployment: str) -> dict[int, Work]:
    """By rank, as each told its supervisor last."""
    found: dict[int, Work] = {}
    for pod in list_workers(cluster, deployment):
        address = loopback(pod["status"]["podIP"])
        url = f"http://{address}:{names.WORKER_PROBE_PORT}/metrics"
        found |= work_of(httpx.get(url, trust_env=False, timeout=30).raise_for_status().text)
    return found


def work_of(text: str) -> dict[int, Work]:
    """Of one pod's /metrics."""
    sums: dict[int, dict[str, float]] = {}
    for name, rank, value in SAMPLE.findall(text):
        if name in (ROWS, PASSES, TIMED, SECONDS):
            counted = sums.setdefault(int(rank), {})
            counted[name] = counted.get(name, 0.0) + float(value)
    return {
        rank: Work(
            rows=one.get(ROWS, 0.0),
            passes=one.get(PASSES, 0.0),
            # Of all passes, as of those that were timed.
            seconds=one.get(SECONDS, 0.0) * one.get(PASSES, 0.0) / (one.get(TIMED) or 1.0),
        )
        for rank, one in sums.items()
    }


def busiest(stages: Mapping[str, Iterable[float]]) -> tuple[float, float]:
    """Over all stages: the most that one rank has to do, and the median ratio of a stage's busiest rank to its mean."""
    ratios = sorted(max(found) / (sum(found) / len(found)) for found in map(list, stages.values()) if any(found))
    return max(max(found) for found in map(list, stages.values())), ratios[len(ratios) // 2] if ratios else 0.0
