"""Another number of copies for a stage that runs: hosts are added and taken away, and nothing else moves. Pure.

Which numbers are wanted is told; balance by load is left to rebalance().
"""

from collections.abc import Mapping
from dataclasses import replace

from moe_planner.filling import fill
from moe_planner.layout import StageLayout
from moe_planner.loads import Rates
from moe_planner.moves import moves_between
from moe_planner.packing import Packing, packing_of, spots_of, weigh


def resized(
    current: StageLayout, planned: StageLayout, rates: Rates, *, batch: int, racks: Mapping[str, str] | None = None
) -> StageLayout:
    """The planned numbers of copies for a stage that has others: as planned where that loads no more than it has to.

    Else the stage as it is, without the needless of its copies and with those that it lacks. So an even layout stays
    the one that the plan shows, and a copy more of one expert does not pack all the others anew.
    """
    wanted = {expert: len(planned.hosts(expert)) for expert in planned.experts}
    if not wanted:
        return planned
    weights = weigh(wanted, rates, ranks=len(current.ranks), batch=batch)
    packing = packing_of(current, weights, spots_of(current, racks), -(-sum(wanted.values()) // len(current.ranks)))
    shrink(packing, wanted)
    fill(packing, wanted)
    least = replace(current, copies=packing.copies())
    return planned if len(moves_between(current, planned)) <= len(moves_between(current, least)) else least


def shrink(packing: Packing, wanted: Mapping[int, int]) -> None:
    """Give up copies of the experts that have more than wanted: first what is near to others, on a busy rank."""
    for expert, number in wanted.items():
        while len(packing.hosts[expert]) > number:
            packing.remove(expert, max(packing.hosts[expert], key=lambda rank: _needless(packing, expert, rank)))


def _needless(packing: Packing, expert: int, rank: int) -> tuple[int, int, float, int]:
    pods, racks = packing.closeness(expert, rank, without=rank)
    return pods, racks, packing.costs[rank], rank
