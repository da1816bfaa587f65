"""Gives every expert the copies that it lacks: the heaviest first, each to the rank that costs least where it is apart.

Always leaves the packing legal: no rank has an expert twice or more than it can take, and an expert of several copies
is not left in one pod where another placement exists.
"""

from collections.abc import Mapping
from heapq import heapify, heappop, heappush

from moe_planner.packing import Packing, Spot


def fill(packing: Packing, wanted: Mapping[int, int]) -> None:
    """Place what is missing of `wanted` copies. What is placed already moves only where room has to be made.

    Needs room for all: no expert more copies than ranks, and as many free places as copies.
    """
    open_ranks = [(cost, rank) for rank, cost in packing.costs.items() if packing.is_open(rank)]
    heapify(open_ranks)
    for expert in sorted(wanted, key=lambda one: (-packing.weights[one].larger, one)):
        while len(packing.hosts[expert]) < wanted[expert]:
            rank = _cheapest(packing, expert, open_ranks)
            if rank is not None:
                packing.add(expert, rank)
            else:
                rank = _make_room(packing, expert)
            if packing.is_open(rank):
                heappush(open_ranks, (packing.costs[rank], rank))
    for expert in wanted:
        if packing.is_concentrated(expert):
            _part(packing, expert)


def deal(wanted: Mapping[int, int], spots: tuple[Spot, ...]) -> dict[int, list[int]]:
    """Every expert's hosts when copies are dealt one by one to ranks of alternating pods.

    As no expert has more copies than ranks, they are all different; from two copies on they are in different pods
    where there are any; and no rank has more than its share, rounded up.
    """
    pods: dict[str, list[int]] = {}
    for spot in spots:
        pods.setdefault(spot.pod, []).append(spot.rank)
    rounds = max(map(len, pods.values()))
    order = [ranks[index] for index in range(rounds) for ranks in pods.values() if index < len(ranks)]
    hosts: dict[int, list[int]] = {}
    turn = 0
    for expert in sorted(wanted):
        hosts[expert] = [order[(turn + copy) % len(order)] for copy in range(wanted[expert])]
        turn += wanted[expert]
    return hosts


def _cheapest(packing: Packing, expert: int, open_ranks: list[tuple[float, int]]) -> int | None:
    """Takes from the heap the cheapest rank of those that are as far from the expert's copies as any can be."""
    placed = len(packing.hosts[expert])
    ideal = (placed // packing.num_pods, placed // packing.num_racks)
    seen: list[tuple[tuple[int, int], float, int]] = []
    found: int | None = None
    while open_ranks and found is None:
        cost, rank = heappop(open_ranks)
        if not packing.is_open(rank):
            continue
        if cost != packing.costs[rank]:
            heappush(open_ranks, (packing.costs[rank], rank))
            continue
        pods, racks = packing.closeness(expert, rank)
        if expert not in packing.held[rank] and pods <= ideal[0] and racks <= ideal[1]:
            found = rank
        else:
            seen.append(((pods, racks), cost, rank))
    if found is None:
        fitting = [one for one in seen if expert not in packing.held[one[2]]]
        found = min(fitting)[2] if fitting else None
    for _, cost, rank in seen:
        if rank != found:
            heappush(open_ranks, (cost, rank))
    return found


def _make_room(packing: Packing, expert: int) -> int:
    """Every rank with room has the expert: another takes it and gives one of its own to a rank with room.

    Such a pair exists: the rank with room has the expert and is not full, so a full rank without it has one to give.
    """
    free = min(rank for rank in packing.spots if packing.is_open(rank))
    donors = [rank for rank in packing.spots if expert not in packing.held[rank]]
    donor = min(donors, key=lambda rank: (*packing.closeness(expert, rank), packing.costs[rank], rank))
    given = min(
        packing.held[donor] - packing.held[free],
        key=lambda one: (packing.closeness(one, free, without=donor), packing.weights[one].larger, one),
    )
    packing.move(given, donor, free)
    packing.add(expert, donor)
    return free


def _part(packing: Packing, expert: int) -> None:
    """Bring one of the expert's copies into another pod, by a move where there is room, else by an exchange."""
    pod = packing.spots[packing.hosts[expert][0]].pod
    others = [rank for rank in packing.spots if packing.spots[rank].pod != pod]
    for source in packing.hosts[expert]:
        for rank in sorted((r for r in others if packing.is_open(r)), key=lambda r: (packing.costs[r], r)):
            packing.move(expert, source, rank)
            return
    for source in packing.hosts[expert]:
        for rank in sorted(others, key=lambda r: (packing.costs[r], r)):
            for given in sorted(packing.held[rank] - packing.held[source]):
                if exchange_keeps_apart(packing, given, rank, source):
                    packing.move(expert, source, rank)
                    packing.move(given, rank, source)
                    return


def exchange_keeps_apart(packing: Packing, expert: int, source: int, target: int) -> bool:
    """Whether the expert's copy is no closer to its other copies on `target` than it is on `source`."""
    return packing.closeness(expert, target, without=source) <= packing.closeness(expert, source, without=source)
