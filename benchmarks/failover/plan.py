"""The parts of a run in their order, and how the time is shared between them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from benchmarks.failover.bench import Bench
from benchmarks.failover.calm import rest, warm_up
from benchmarks.failover.copies import host_often
from benchmarks.failover.group import restart_group
from benchmarks.failover.killing import kill_ranks
from benchmarks.failover.planned import come_home, empty_nodes
from benchmarks.failover.rebalance import rebalance
from demo.cluster import CommandError
from demo.waiting import NeverHappened
from moe_local.errors import LocalError

WARM_UP_S = 60.0
CALM_S = 20.0
CALM_LIGHT_S = 12.0
ERRORS = (CommandError, NeverHappened, LocalError, httpx.HTTPError, ValueError)
"""That a part may end with, and the others go on."""
MODES = ("warm", "cold")


@dataclass(frozen=True, kw_only=True)
class Part:
    """`share` is of the time that is left, in the same unit as the shares of the parts after it; `run` is given until
    when it may begin something new.
    """

    name: str
    share: float
    run: Callable[[float], None]


def run_parts(
    bench: Bench,
    parts: Sequence[Part],
    *,
    until: float,
    after: Callable[[], object],
) -> None:
    """Each begins only while there is time; `after` is called when one has ended, however it did."""
    for index, part in enumerate(parts):
        now = time.monotonic()
        if now > until:
            bench.show(f"no time for {', '.join(one.name for one in parts[index:])}")
            return
        left = sum(one.share for one in parts[index:])
        seconds = (until - now) * part.share / left
        bench.show(f"{part.name}, begins nothing new after {seconds:.0f} s of {until - now:.0f} s")
        try:
            part.run(now + seconds)
        except ERRORS as error:
            bench.journal.add("broken", part=part.name, error=f"{type(error).__name__}: {error}")
            bench.show(f"{part.name} broke: {error}")
        after()


def parts_of(bench: Bench, mode: str, light: int, number: int) -> list[Part]:
    """All of a mode: under the bench's load and, what can be seen only on a machine with room, under a `light` one.

    `number` kills by exit and device in all, 3 of 5 of them under the first load.
    """
    if mode == "cold":
        return [Part(name="group-cold", share=1, run=lambda until: restart_group(bench, "group-cold", "cold"))]
    lightly, few = bench.at(light), max(1, number // 24)
    return [
        Part(name="warm-up", share=1, run=lambda until: warm_up(bench, "warm-up", WARM_UP_S)),
        *_failures(bench, "", CALM_S, 3 * number // 10, max(1, number // 12)),
        *_failures(lightly, "light-", CALM_LIGHT_S, max(1, number // 5), few),
        Part(name="home", share=1, run=lambda until: come_home(lightly, "home")),
        _planned(lightly, "light-planned"),
        _planned(bench, "planned"),
        *_copied(bench, lightly, 2 * few),
        Part(name="rebalance", share=2, run=lambda until: rebalance(bench, "rebalance")),
        # Last, as pods that have just started are slow.
        Part(name="light-group-warm", share=2, run=lambda until: restart_group(lightly, "light-group-warm", "warm")),
        Part(name="group-warm", share=2, run=lambda until: restart_group(bench, "group-warm", "warm")),
    ]


def _failures(bench: Bench, prefix: str, calm_s: float, each: int, few: int) -> list[Part]:
    return [
        Part(name=f"{prefix}calm", share=1, run=lambda until: rest(bench, f"{prefix}calm", calm_s)),
        _kills(bench, f"{prefix}exit", "exit", each),
        _kills(bench, f"{prefix}device", "device", each),
        # What the machine gives changes within minutes: what nothing failing costs is seen on both sides of the kills.
        Part(name=f"{prefix}calm-after", share=1, run=lambda until: rest(bench, f"{prefix}calm-after", calm_s)),
        _kills(bench, f"{prefix}hang", "hang", few),
    ]


def _copied(bench: Bench, light: Bench, few: int) -> list[Part]:
    return [
        Part(name="copies", share=1, run=lambda until: host_often(bench, 2)),
        *(
            _kills(one, f"{prefix}copies-{how}", how, few)
            for prefix, one in (("", bench), ("light-", light))
            for how in ("exit", "device")
        ),
        Part(name="one-copy", share=1, run=lambda until: host_often(bench, 1)),
    ]


def _planned(bench: Bench, name: str) -> Part:
    return Part(name=name, share=2, run=lambda until: empty_nodes(bench, name, number=1, until=until))


def _kills(bench: Bench, name: str, how: str, number: int) -> Part:
    def run(until: float) -> None:
        kill_ranks(bench, name, how, number=max(1, number), until=until)

    return Part(name=name, share=0.4 * max(1, number), run=run)
