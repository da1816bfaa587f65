"""Small changes that make the busiest rank less busy: moves and exchanges of copies, the best first."""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nsmallest

from moe_planner.filling import exchange_keeps_apart
from moe_planner.packing import Packing

_PARTNERS = 8
_CANDIDATES = 16
_SMALLEST_GAIN = 1e-3


@dataclass(frozen=True, kw_only=True)
class Change:
    """`expert` goes from `source` to `target`, and `given` comes back for it, None where the target has room."""

    source: int
    target: int
    expert: int
    given: int | None

    @property
    def loads(self) -> int:
        """Copies that have to be loaded for it."""
        return 1 if self.given is None else 2


def refine(packing: Packing, *, steps: int) -> None:
    """Apply the best changes until none helps, or so many are made. Copies never come closer to each other."""
    for _ in range(steps):
        change = best_change(packing)
        if change is None:
            return
        apply(packing, change)


def best_change(packing: Packing, *, loads: int = 2) -> Change | None:
    """The change that relieves the busiest rank most, of those that load no more copies than `loads`.

    Its partner is one of the least busy ranks. None where both would not be less busy than the busiest is now.
    """
    busiest = max(packing.costs, key=lambda rank: (packing.costs[rank], -rank))
    lowest = packing.costs[busiest] * (1 - _SMALLEST_GAIN)
    best = None
    for target in nsmallest(_PARTNERS, packing.costs, key=packing.costs.__getitem__):
        for change in _changes(packing, busiest, target) if target != busiest else ():
            cost = packing.cost_with(target, change.expert, change.given)
            if cost < lowest and change.loads <= loads and _keeps_apart(packing, change):
                rest = packing.cost_with(busiest, change.given, change.expert)
                if max(cost, rest) < lowest:
                    best, lowest = change, max(cost, rest)
    return best


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
    """Of the source's experts each alone, or for a lighter one of the target's."""
    is_open = packing.is_open(target)
    back = _some(packing, packing.held[target] - packing.held[source])
    for expert in _some(packing, packing.held[source] - packing.held[target]):
        if is_open:
            yield Change(source=source, target=target, expert=expert, given=None)
        heavy = packing.weights[expert].larger
        for given in back:
            if packing.weights[given].larger < heavy:
                yield Change(source=source, target=target, expert=expert, given=given)


def _some(packing: Packing, experts: set[int]) -> list[int]:
    """The experts by weight; of many only some, evenly from the heaviest to the lightest."""
    ordered = sorted(experts, key=lambda one: (-packing.weights[one].larger, one))
    return ordered[:: -(-len(ordered) // _CANDIDATES)] if len(ordered) > _CANDIDATES else ordered


def _keeps_apart(packing: Packing, change: Change) -> bool:
    there = exchange_keeps_apart(packing, change.expert, change.source, change.target)
    back = change.given is None or exchange_keeps_apart(packing, change.given, change.target, change.source)
    return there and back
