"""The words in which a stage's moves are told to people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from moe_api.names import Reason
from moe_api.stage import MaskedRank, MoEStageSpec
from moe_operator.decide.actions import EVENT_MESSAGE_LIMIT, CreatePod, Event, Relocation
from moe_operator.decide.history import is_cleared
from moe_operator.decide.leaving import Leaving
from moe_operator.decide.seats import Seats
from moe_planner.moves import Rehosting


def place(rank: int, node: str | None, gpu: int | None) -> str:
    """A rank and where its GPU is: `rank 37 (node-4 gpu 5)`."""
    return f"rank {rank}" if node is None or gpu is None else f"rank {rank} ({node} gpu {gpu})"


def numbered(noun: str, numbers: Iterable[int]) -> str:
    """`expert 3`, or `experts 3, 4, 9`."""
    listed = list(numbers)
    return f"{noun}{'' if len(listed) == 1 else 's'} {', '.join(map(str, listed))}"


def masked_words(mask: MaskedRank) -> str:
    """`rank 37 masked (node-4 gpu 5: XID 79)`."""
    where = f"{mask.node} gpu {mask.gpu}: " if mask.node is not None and mask.gpu is not None else ""
    return f"rank {mask.rank} masked ({where}{mask.message or mask.reason})"


def relocation_events(relocations: Iterable[Relocation], seats: Seats) -> list[Event]:
    """What was lost or came back, and what moved where: one event for all that a commit moves for one reason."""
    told: dict[Reason, list[Event]] = {}
    for relocation in relocations:
        for event in _relocation_events(relocation, seats):
            told.setdefault(event.reason, []).append(event)
    return [event for events in told.values() for event in (events if events[0].is_warning else joined(events))]


def lost_events(spec: MoEStageSpec, rehosting: Rehosting) -> list[Event]:
    """Experts that lose their last host with this commit."""
    hosted = {expert.expert for expert in spec.experts if expert.ranks}
    lost = [expert for expert in rehosting.lost_experts if expert in hosted]
    if not lost:
        return []
    message = f"{numbered('expert', lost)} lost: no rank of the stage is left to host"
    return [Event(reason=Reason.EXPERTS_LOST, message=message, is_warning=True)]


def heal_events(spec: MoEStageSpec, next_spec: MoEStageSpec) -> list[Event]:
    """GPUs that were quarantined and may host again; a replaced pod has been told of already."""
    masked = {mask.rank for mask in next_spec.masked}
    return [
        Event(reason=Reason.GPU_HEALED, message=f"{place(mask.rank, mask.node, mask.gpu)} can host again")
        for mask in spec.masked
        if mask.rank not in masked and mask.reason == Reason.GPU_FAILED
    ]


def evacuation_events(spec: MoEStageSpec, next_spec: MoEStageSpec, leaving: Mapping[int, Leaving]) -> list[Event]:
    """Ranks that begin to be emptied with this commit, and those that are empty after it; one line per cause."""
    starting = [one for rank, one in leaving.items() if not _is_moving(rank, spec) and _is_moving(rank, next_spec)]
    emptied = [one for rank, one in leaving.items() if _holds(rank, spec) and not _holds(rank, next_spec)]
    return [
        *(_told(Reason.EVACUATING, "what they hold is loaded elsewhere first", ones) for ones in _by_cause(starting)),
        *(_told(Reason.EVACUATED, "nothing is left on them", ones) for ones in _by_cause(emptied)),
    ]


def dropped_events(spec: MoEStageSpec, next_spec: MoEStageSpec) -> list[Event]:
    """Copies that are given up with this commit, and by no failure."""
    masked = {mask.rank for mask in next_spec.masked}
    dropped: dict[int, list[int]] = {}
    for before, after in zip(spec.experts, next_spec.experts, strict=True):
        gone = [rank for rank in before.ranks if rank not in after.ranks and rank not in masked]
        for rank in gone if len(after.ranks) < len(before.ranks) else ():
            dropped.setdefault(rank, []).append(before.expert)
    return joined(
        Event(reason=Reason.COPY_REMOVED, message=f"{numbered('expert', experts)} no longer on rank {rank} as well")
        for rank, experts in sorted(dropped.items())
    )


def still_leaving(spec: MoEStageSpec, leaving: Mapping[int, Leaving]) -> tuple[Reason, str] | None:
    """Why and what is still to be moved although it serves; None when nothing is."""
    holding = {rank: one for rank, one in leaving.items() if _holds(rank, spec)}
    draining = [lane.lane for lane in spec.lanes if lane.leaving_since is not None]
    if not holding:
        words = f"{numbered('lane', draining)} will go to another rank within failover.drainSeconds"
        return (Reason.LANES_DRAINING, words) if draining else None
    causes = "; ".join(dict.fromkeys(one.message for one in holding.values()))
    waits = f"{numbered('lane', draining)} end their requests" if draining else "no other rank has room"
    return next(iter(holding.values())).reason, f"{causes}; {_held_by(set(holding), spec)}: {waits}"


def breaker_events(spec: MoEStageSpec, next_spec: MoEStageSpec) -> list[Event]:
    """The breaker opens, or closes, with this commit."""
    if spec.paused is None and next_spec.paused is not None:
        return [Event(reason=Reason.BREAKER_OPEN, message=next_spec.paused.message, is_warning=True)]
    if spec.paused is not None and next_spec.paused is None:
        return [Event(reason=Reason.BREAKER_CLOSED, message="failed GPUs are acted on again")]
    return []


def cleared_events(spec: MoEStageSpec, next_spec: MoEStageSpec) -> list[Event]:
    """GPUs and nodes whose failures are forgotten because a person said so."""
    known = {(record.node, record.gpu) for record in next_spec.history}
    return [
        Event(
            reason=Reason.QUARANTINE_CLEARED,
            message=f"{record.node}{'' if record.gpu is None else f' gpu {record.gpu}'}: failover.cleared names it;"
            f" {record.failures} failure{'' if record.failures == 1 else 's'} forgotten",
        )
        for record in spec.history
        if (record.node, record.gpu) not in known and is_cleared(record, spec.failover)
    ]


def pod_events(creates: Iterable[CreatePod]) -> list[Event]:
    """Replacements; first pods are no news."""
    return [
        Event(
            reason=Reason.POD_REPLACED,
            message=f"pod {create.node_rank} of the stage is replaced, attempt {create.attempt}"
            + (f", away from {', '.join(create.avoid)} if possible" if create.avoid else ""),
        )
        for create in creates
        if create.attempt > 0
    ]


def _relocation_events(relocation: Relocation, seats: Seats) -> list[Event]:
    is_gain = relocation.reason in (Reason.EXPERT_RETURNED, Reason.COPY_ADDED)
    reason = relocation.reason if is_gain else Reason.EXPERT_REHOSTED
    events = [
        Event(reason=reason, message=_moved("expert", move.expert, move.from_rank, move.to_rank, relocation, seats))
        for move in relocation.moves
    ] + [
        Event(
            reason=Reason.LANE_MOVED,
            message=_moved("lane", move.lane, move.from_rank, move.to_rank, relocation, seats),
        )
        for move in relocation.lane_moves
    ]
    if relocation.is_planned:
        return events
    origin = place(relocation.rank, relocation.node, relocation.gpu)
    loss = Event(reason=relocation.reason, message=f"{origin}: {relocation.message}", is_warning=True)
    return [loss, *events]


def joined(events: Iterable[Event]) -> list[Event]:
    """As few as hold all their messages."""
    found: list[Event] = []
    for event in events:
        longer = f"{found[-1].message}; {event.message}" if found else ""
        if longer and len(longer) <= EVENT_MESSAGE_LIMIT:
            found[-1] = replace(event, message=longer)
        else:
            found.append(event)
    return found


def _moved(noun: str, number: int, from_rank: int | None, to_rank: int, relocation: Relocation, seats: Seats) -> str:
    """`expert 37 moved from rank 37 (node-4 gpu 5) to rank 41 (node-5 gpu 1)`."""
    if relocation.reason == Reason.COPY_ADDED:
        return f"{noun} {number} is on {_place(to_rank, relocation, seats)} as well"
    origin = "" if from_rank is None else f" from {_place(from_rank, relocation, seats)}"
    return f"{noun} {number} moved{origin} to {_place(to_rank, relocation, seats)}"


def _place(rank: int, relocation: Relocation, seats: Seats) -> str:
    if rank == relocation.rank:
        return place(rank, relocation.node, relocation.gpu)
    seat = seats.seat(rank)
    pod = seats.pod(seat) if seat else None
    return place(rank, pod.node if pod else None, seat.gpu if seat else None)


def _told(reason: Reason, words: str, leaving: list[Leaving]) -> Event:
    """`ranks 4, 5 (node-1): node node-1 is cordoned; nothing is left on them`."""
    first, ranks = leaving[0], numbered("rank", [one.rank for one in leaving])
    return Event(reason=reason, message=f"{ranks} ({first.node}): {first.message}; {words}")


def _by_cause(leaving: Iterable[Leaving]) -> list[list[Leaving]]:
    causes: dict[tuple[str, str], list[Leaving]] = {}
    for one in leaving:
        causes.setdefault((one.node, one.message), []).append(one)
    return list(causes.values())


def _is_moving(rank: int, spec: MoEStageSpec) -> bool:
    """Whether something that the rank holds is loaded by another, or is to leave it."""
    return any(rank in expert.ranks and expert.loading for expert in spec.experts) or any(
        lane.rank == rank and lane.leaving_since for lane in spec.lanes
    )


def _held_by(ranks: set[int], spec: MoEStageSpec) -> str:
    """`ranks 6, 7 still hold experts 6, 7, lanes 2, 3`."""
    experts = [expert.expert for expert in spec.experts if ranks.intersection(expert.ranks)]
    lanes = [lane.lane for lane in spec.lanes if lane.rank in ranks]
    held = [numbered(noun, numbers) for noun, numbers in (("expert", experts), ("lane", lanes)) if numbers]
    verb = "still holds" if len(ranks) == 1 else "still hold"
    return f"{numbered('rank', sorted(ranks))} {verb} {', '.join(held)}"


def _holds(rank: int, spec: MoEStageSpec) -> bool:
    return any(rank in (*e.ranks, *e.loading) for e in spec.experts) or any(lane.rank == rank for lane in spec.lanes)
