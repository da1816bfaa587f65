"""Small changes that make the busiest rank less busy: moves and exchanges of copies, the best first."""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nsmallest

from moe_planner.filling import exchange_keeps_apart
from moe_planner.packing import Packing

_PARTNERS = 8
_SMALLEST_GAIN = 1e-6


@dataclass(frozen=True, kw_only=True, order=True)
class Change:
    """`expert` goes from `source` to `target`, and `given` comes back for it, None where the target has room.

    `cost` is the larger of the two ranks' after it.
    """

    cost: float
    loads: int
    source: int
    target: int
    expert: int
    given: int | None


def refine(packing: Packing, *, steps: int) -> None:
    """Apply the best changes until none helps, or so many are made. Copies never come closer to each other."""
    for _ in range(steps):
        change = best_change(packing)
        if change is None:
            return
        apply(packing, change)


def best_change(packing: Packing, *, loads: int = 2) -> Change | None:
    """The change that relieves the busiest rank most, of those that load no more copies than `loads`."""
    busiest = max(packing.costs, key=lambda rank: (packing.costs[rank], -rank))
    limit = packing.costs[busiest] * (1 - _SMALLEST_GAIN)
    partners = nsmallest(_PARTNERS, packing.costs, key=lambda rank: (packing.costs[rank], rank))
    changes = (change for target in partners if target != busiest for change in _changes(packing, busiest, target))
    better = (change for change in changes if change.cost < limit and change.loads <= loads)
    return min(better, key=lambda change: (change.cost, change.loads, change.target, change.expert), default=None)


def apply(packing: Packing, change: Change) -> None:
    """Make the change."""
    packing.move(change.expert, change.source, change.target)
    if change.given is not None:
        packing.move(change.given, change.target, change.source)


def undo(packing: Packing, change: Change) -> None:
    """Take the change back."""
    if change.given is not None:
        packing.move(change.given, change.source, change.target)
    packing.move(change.expert, change.target, change.source)


def _changes(packing: Packing, source: int, target: int) -> Iterator[Change]:
    for expert in sorted(packing.held[source] - packing.held[target]):
        if not exchange_keeps_apart(packing, expert, source, target):
            continue
        if packing.is_open(target):
            yield _change(packing, source, target, expert, None)
        for given in sorted(packing.held[target] - packing.held[source]):
            if packing.weights[given].larger < packing.weights[expert].larger and exchange_keeps_apart(
                packing, given, target, source
            ):
                yield _change(packing, source, target, expert, given)


def _change(packing: Packing, source: int, target: int, expert: int, given: int | None) -> Change:
    costs = (packing.cost_with(source, given, expert), packing.cost_with(target, expert, given))
    return Change(
        cost=max(costs), loads=1 if given is None else 2, source=source, target=target, expert=expert, given=given
    )
