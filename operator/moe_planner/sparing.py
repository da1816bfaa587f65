"""Which spare copies are worth their place: those without which some rank would be busier than the busiest is now.

A copy halves what an expert makes its rank do, and is one more that another rank has to read for every step. On an even
load that makes the busiest rank busier, so a copy that does not relieve it is not made, or given up. Pure.
"""

from collections.abc import Mapping
from dataclasses import replace

from moe_planner.balance import Busyness
from moe_planner.layout import StageLayout
from moe_planner.loads import Rates

_AS_BUSY = 1 + 1e-9


def numbers_to_try(most: int) -> list[int]:
    """How many spare copies to try to do with, up to so many: fewer may do, as each has to be read for every step."""
    return [*(2**power for power in range(most.bit_length()) if 2**power < most), *([most] if most else [])]


def worthwhile(
    stage: StageLayout,
    least: Mapping[int, int],
    rates: Rates,
    *,
    batch: int,
    racks: Mapping[str, str] | None = None,
) -> StageLayout:
    """The stage without the needless of its copies: each expert keeps at least `least`, as far apart as they can be.

    No rank is busier than the busiest is before. What is loading stays.
    """
    while (fewer := _without_needless(stage, least, rates, batch, racks)) is not stage:
        stage = fewer
    return stage


def _without_needless(
    stage: StageLayout, least: Mapping[int, int], rates: Rates, batch: int, racks: Mapping[str, str] | None
) -> StageLayout:
    """Each copy looked at once, the coldest first; one that is kept may be needless after others are gone."""
    busyness = Busyness(stage, rates, batch=batch)
    hosts = {expert: list(stage.hosts(expert)) for expert in stage.experts}
    given_up: set[tuple[int, int]] = set()
    most = busyness.most
    for expert in sorted(hosts, key=lambda one: (rates[one] / max(1, len(hosts[one])), one)):
        for rank in reversed(stage.hosts(expert)):
            left = [host for host in hosts[expert] if host != rank]
            if len(left) < max(1, least[expert]) or not _as_apart(stage, hosts[expert], left, least[expert], racks):
                continue
            busyness.rehost(expert, hosts[expert], left)
            if busyness.most > most * _AS_BUSY:
                busyness.rehost(expert, left, hosts[expert])
                continue
            most = busyness.most
            hosts[expert] = left
            given_up.add((expert, rank))
    if not given_up:
        return stage
    return replace(stage, copies=tuple(one for one in stage.copies if (one.expert, one.rank) not in given_up))


def _as_apart(
    stage: StageLayout, hosts: list[int], left: list[int], least: int, racks: Mapping[str, str] | None
) -> bool:
    """Whether those that are left are in as many pods, and racks, as all were, as far as `least` copies ask for it."""
    known = racks or {}
    for domain in (lambda rank: stage.seat(rank).domain, lambda rank: known.get(stage.seat(rank).node or "", "")):
        if len(set(map(domain, left))) < min(least, len(set(map(domain, hosts)))):
            return False
    return True
