"""How many copies each expert of a stage gets, and which of them are to be made again after a loss. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from heapq import heapify, heapreplace

from moe_planner.errors import PlanError
from moe_planner.inputs import Constraints
from moe_planner.layout import Copy, StageLayout
from moe_planner.loads import Rates
from moe_planner.moves import Move, Room


def least_copies(constraints: Constraints) -> int:
    """How many copies every expert has: those asked for, and two where a loss must be survived without a load."""
    return max(constraints.copies, 1 if constraints.survive == "nothing" else 2)


def has_extra_copies(constraints: Constraints) -> bool:
    """Whether some experts have more or fewer copies than others."""
    return constraints.spare_copies > 0 or bool(constraints.copies_of)


def wanted_copies(experts: Sequence[int], ranks: int, constraints: Constraints, rates: Rates) -> dict[int, int]:
    """Copies of each expert of a stage: what was asked of each, then the spare ones to whichever is hottest by then.

    Raises PlanError when an expert is to have more copies than the stage has ranks.
    """
    least = least_copies(constraints)
    asked = dict(constraints.copies_of)
    wanted = {
        expert: max(asked.get(expert, least), least if constraints.survive != "nothing" else 1) for expert in experts
    }
    for expert, number in wanted.items():
        if number > ranks:
            raise PlanError(
                "experts.copies",
                number,
                f"copies of expert {expert} need different GPUs, and its stage has {ranks}",
                f"use at most {ranks}",
            )
    _spread_spares(wanted, ranks, constraints.spare_copies, rates)
    return wanted


def _spread_spares(wanted: dict[int, int], ranks: int, spares: int, rates: Rates) -> None:
    """Each goes to the expert with the most tokens a copy."""
    hottest = [(-rates[expert] / number, expert) for expert, number in wanted.items() if number < ranks]
    heapify(hottest)
    while spares > 0 and hottest:
        expert = hottest[0][1]
        wanted[expert] += 1
        spares -= 1
        load = -rates[expert] / wanted[expert] if wanted[expert] < ranks else float("inf")
        heapreplace(hottest, (load, expert))
        if hottest[0][0] == float("inf"):
            return


def missing(
    stage: StageLayout,
    planned: StageLayout,
    room: Room,
    *,
    usable: frozenset[int] | None = None,
    rates: Rates | None = None,
    racks: Mapping[str, str] | None = None,
) -> tuple[Move, ...]:
    """Which copies to make again, and where: those that the plan has and the stage neither serves nor loads.

    The most urgent first: fewest copies left, then hottest (by `rates`), then by number. `usable` are the ranks that
    may host and whose copies count, all that are not masked when left out. A copy goes to its planned rank when that
    may host, else to the usable rank with room that is farthest from the others (another node, then another rack by
    `racks`, node -> rack), then the one that holds least. An expert without any host is rehost's business, and what
    nobody has room for is left out. Load them with `with_loading`; home() does the rest.
    """
    able = [rank for rank in stage.ranks if rank not in stage.masked and (usable is None or rank in usable)]
    known = frozenset(able)
    held = Counter({rank: len(stage.held(rank)) for rank in able})
    left = {e: [copy.rank for copy in stage.copies_of(e) if copy.rank in known] for e in stage.experts}
    weight = rates or {}
    lacking = [e for e in stage.experts if stage.hosts(e) and len(left[e]) < len(planned.hosts(e))]
    moves: list[Move] = []
    for expert in sorted(lacking, key=lambda e: (len(left[e]), -weight.get(e, 0.0), e)):
        hosts = left[expert]
        gone = [rank for rank in planned.hosts(expert) if rank not in hosts]
        for lost in gone[: len(planned.hosts(expert)) - len(hosts)]:
            candidates = [r for r in able if r not in hosts and _has_room(held[r], room)]
            if not candidates:
                break
            target = min(candidates, key=lambda r: (r not in gone, *_closeness(stage, r, hosts, racks), held[r], r))
            held[target] += 1
            hosts.append(target)
            moves.append(Move(expert=expert, from_rank=None if lost == target else lost, to_rank=target))
    return tuple(moves)


def restored(
    stage: StageLayout,
    planned: StageLayout,
    room: Room,
    *,
    usable: frozenset[int],
    at_once: int,
    failing: frozenset[tuple[int, int]] = frozenset(),
    rates: Rates | None = None,
    racks: Mapping[str, str] | None = None,
) -> StageLayout:
    """The stage with the most urgent of its missing copies being loaded, `at_once` loads in the stage at most.

    Itself when nothing is missing or as many loads are under way already. `failing` are the (expert, rank) pairs that
    could not be loaded yet; no other load waits for them.
    """
    under_way = sum(copy.state == "loading" and (copy.expert, copy.rank) not in failing for copy in stage.copies)
    if under_way >= at_once:
        return stage
    moves = missing(stage, planned, room, usable=usable, rates=rates, racks=racks)
    return with_loading(stage, moves[: at_once - under_way])


def with_loading(stage: StageLayout, moves: Iterable[Move]) -> StageLayout:
    """The stage with the moved copies being loaded beside those it has."""
    added: dict[int, list[Copy]] = {}
    for move in moves:
        added.setdefault(move.expert, []).append(Copy(expert=move.expert, rank=move.to_rank, state="loading"))
    if not added:
        return stage
    copies = (copy for expert in stage.experts for copy in (*stage.copies_of(expert), *added.get(expert, ())))
    return replace(stage, copies=tuple(copies))


def _has_room(held: int, room: Room) -> bool:
    return room.experts_per_rank is None or held < room.experts_per_rank


def _closeness(stage: StageLayout, rank: int, hosts: Iterable[int], racks: Mapping[str, str] | None) -> tuple[int, int]:
    """How many of the hosts share the rank's node, and how many its rack."""
    seat = stage.seat(rank)
    others = [stage.seat(host) for host in hosts]
    near = sum(other.domain == seat.domain for other in others)
    if not racks:
        return near, 0
    rack = racks.get(seat.node or "")
    return near, sum(racks.get(other.node or "") == rack for other in others)
