"""The parts of a run in their order, and how the time is shared between them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.failover.bench import Bench
from benchmarks.failover.calm import rest
from benchmarks.failover.copies import give_up_copies, kill_with_copies
from benchmarks.failover.group import restart_group
from benchmarks.failover.killing import kill_ranks
from benchmarks.failover.planned import come_home, empty_nodes

CALM_S = 24.0


@dataclass(frozen=True, kw_only=True)
class Part:
    """`share` is of the time that is left, in the same unit as the shares of the parts after it; `run` is given until
    when it may begin something new.
    """

    name: str
    share: float
    run: Callable[[float], None]


def run_parts(bench: Bench, mode: str, *, number: int, until: float, wanted: Sequence[str] | None) -> None:
    """All parts of a mode, or those `wanted`; each begins only while there is time."""
    parts = [part for part in _parts(bench, number)[mode] if wanted is None or part.name in wanted]
    for index, part in enumerate(parts):
        now = time.monotonic()
        left = sum(one.share for one in parts[index:])
        bench.show(f"{part.name}, at most {(until - now) * part.share / left:.0f} s of {until - now:.0f} s")
        part.run(now + (until - now) * part.share / left)


def _parts(bench: Bench, number: int) -> dict[str, list[Part]]:
    half, few = max(1, number // 2), max(1, number // 8)
    warm = [
        Part(name="calm", share=0.5, run=lambda until: rest(bench, "calm", CALM_S)),
        Part(name="exit", share=5, run=lambda until: kill_ranks(bench, "exit", "exit", number=half, until=until)),
        Part(name="device", share=5, run=lambda until: kill_ranks(bench, "device", "device", number=half, until=until)),
        Part(name="calm-again", share=0.5, run=lambda until: rest(bench, "calm-again", CALM_S)),
        Part(name="hang", share=2, run=lambda until: kill_ranks(bench, "hang", "hang", number=few, until=until)),
        Part(name="home", share=1, run=lambda until: come_home(bench, "home")),
        Part(name="planned", share=1.5, run=lambda until: empty_nodes(bench, "planned", number=2, until=until)),
        Part(name="copies", share=3, run=lambda until: kill_with_copies(bench, number=few * 2, until=until)),
        Part(name="one-copy", share=0.5, run=lambda until: give_up_copies(bench)),
        Part(name="group-warm", share=1, run=lambda until: restart_group(bench, "warm", number=2)),
    ]
    cold = [Part(name="group-cold", share=1, run=lambda until: restart_group(bench, "cold", number=1))]
    return {"warm": warm, "cold": cold}
