"""What must hold after chaos, and whether it does."""

from benchmarks.chaos.run import Chaos
from benchmarks.failover.crowd import Crowd, wrong_tokens
from benchmarks.soak.report import Promise, flatness, memory_of, none_of
from demo.observe import Snapshot

JUDGED = ("gateway", "nodes")
"""What lives through it all."""


def promises(
    chaos: Chaos, crowd: Crowd, expected: list[list[int]], before: Snapshot, after: Snapshot, degraded: str
) -> list[Promise]:
    """All but what only the end of the cluster shows."""
    changes = before.changes_to(after)
    memory = [one for one in memory_of(chaos.watched.series) if one.place in JUDGED]
    return [
        none_of("failed requests", crowd.failed()),
        none_of("wrong tokens", wrong_tokens(crowd.asked, expected)),
        none_of("experts that are not where the planner wants them", sorted(map(str, changes.experts))),
        none_of("lanes that are not where the planner wants them", sorted(map(str, changes.lanes))),
        none_of("still degraded", [degraded] if degraded else []),
        flatness(memory),
    ]
