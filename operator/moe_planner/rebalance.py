"""Another placement of a running stage for the loads that were measured: worth its moves, and within a budget of them.

Pure. The moves are planned ones: the operator goes from the running layout to this one by home(), load first.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import inf

from moe_planner.balance import worst_of_both
from moe_planner.filling import fill
from moe_planner.layout import StageLayout
from moe_planner.loads import Rates
from moe_planner.moves import Rehosting, Room, moves_between
from moe_planner.packing import Packing, packing_of, spots_of, weigh
from moe_planner.refining import Change, apply, best_change, undo
from moe_planner.resizing import shrink
from moe_planner.sparing import numbers_to_try, worthwhile

HYSTERESIS = 0.1
"""The share by which the busiest rank must get less busy before anything moves."""
_AS_GOOD = 1.01


def rebalance(
    stage: StageLayout,
    rates: Rates,
    *,
    batch: int,
    budget: int,
    room: Room,
    wanted: Mapping[int, int] | None = None,
    least: Mapping[int, int] | None = None,
    hysteresis: float = HYSTERESIS,
    racks: Mapping[str, str] | None = None,
) -> Rehosting:
    """The stage with at most `budget` copies loaded elsewhere; itself where that gains less than `hysteresis`.

    `wanted` are the copies that each expert may have by these rates (copies.wanted_copies), and `least` those that it
    must have, all that are wanted when left out: extra ones of experts that cooled down make way for those of hot ones,
    where these make the busiest rank less busy. While something is masked, loading or without a host nothing is
    rebalanced: healing comes first.
    """
    unsettled = stage.masked or any(copy.state == "loading" for copy in stage.copies)
    if unsettled or not stage.experts or stage.coverage == 0 or budget < 1:
        return _nothing(stage)
    counts = [_counts(stage)]
    if wanted is not None:
        counts += [_next_counts(stage, wanted, rates, number) for number in (0, *numbers_to_try(budget))]
    options = [_relieved(stage, one, rates, batch, budget, room, racks) for one in counts]
    needed = least or wanted
    if needed is not None:
        options += [worthwhile(one, needed, rates, batch=batch, racks=racks) for one in options]
    judged = [
        (worst_of_both(one, rates, batch=batch), len(moves_between(stage, one)), len(one.copies), one)
        for one in options
    ]
    legal = [one for one in judged if one[1] <= budget]
    worst, _, _, best = min(legal, key=lambda one: one[:3], default=(inf, 0, 0, stage))
    if worst > (1 - hysteresis) * worst_of_both(stage, rates, batch=batch):
        return _nothing(stage)
    return _rehosting(stage, best)


def _relieved(
    stage: StageLayout,
    counts: Mapping[int, int],
    rates: Rates,
    batch: int,
    budget: int,
    room: Room,
    racks: Mapping[str, str] | None,
) -> StageLayout:
    """The stage with so many copies of each expert, and then the best changes that the rest of the budget allows."""
    weights = weigh(counts, rates, ranks=len(stage.ranks), batch=batch)
    packing = packing_of(stage, weights, spots_of(stage, racks), room.experts_per_rank)
    shrink(packing, counts)
    lacking = sum(number - len(packing.hosts[expert]) for expert, number in counts.items())
    if _has_room(packing, counts, lacking):
        fill(packing, counts)
        _relieve(packing, budget - lacking)
    return replace(stage, copies=packing.copies())


def _has_room(packing: Packing, counts: Mapping[int, int], lacking: int) -> bool:
    free = [rank for rank in packing.spots if packing.is_open(rank)]
    if packing.most_held is None:
        return True
    return sum(packing.most_held - len(packing.held[rank]) for rank in free) >= lacking


def _relieve(packing: Packing, budget: int) -> None:
    """Makes the changes until none helps or the budget is spent; takes the last ones back that gained next to none."""
    changes: list[Change] = []
    worst = [max(packing.costs.values())]
    while budget > 0 and (change := best_change(packing, loads=budget)) is not None:
        apply(packing, change)
        budget -= change.loads
        changes.append(change)
        worst.append(max(packing.costs.values()))
    enough = next(index for index, cost in enumerate(worst) if cost <= min(worst) * _AS_GOOD)
    for change in reversed(changes[enough:]):
        undo(packing, change)


def _counts(stage: StageLayout) -> dict[int, int]:
    return {expert: len(stage.hosts(expert)) for expert in stage.experts}


def _next_counts(stage: StageLayout, wanted: Mapping[int, int], rates: Rates, budget: int) -> dict[int, int]:
    """All that may go, and of what is lacking as many as the budget allows, each for the hottest by then."""
    counts = {expert: min(number, wanted[expert]) for expert, number in _counts(stage).items()}
    for _ in range(min(budget, sum(wanted.values()) - sum(counts.values()))):
        lacking = [expert for expert, number in counts.items() if number < wanted[expert]]
        counts[max(lacking, key=lambda expert: (rates[expert] / counts[expert], -expert))] += 1
    return counts


def _nothing(stage: StageLayout) -> Rehosting:
    return Rehosting(layout=stage, moves=(), lane_moves=(), lost_experts=(), homeless_lanes=())


def _rehosting(before: StageLayout, after: StageLayout) -> Rehosting:
    moves = moves_between(before, after)
    moved = {(move.expert, move.from_rank) for move in moves}
    gone = {*before.copies} - {*after.copies}
    dropped = tuple(copy for copy in before.copies if copy in gone and (copy.expert, copy.rank) not in moved)
    return replace(_nothing(after), moves=moves, dropped=dropped)
