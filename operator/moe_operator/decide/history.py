"""What is remembered of GPUs and nodes that failed, and how long each must be well before it hosts again.

The memory is a MoEStage's spec.history, so it outlives the operator. A record counts for an hour after its last
failure, and no longer than until a person clears it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from moe_api.conditions import rfc3339
from moe_api.engine import ClearedGpu, FailoverSpec
from moe_api.moment import moment_of
from moe_api.names import Reason
from moe_api.stage import GpuRecord, MaskedRank, MoEStageSpec
from moe_operator.decide.leaving import Leaving
from moe_operator.decide.seats import Seats

MEMORY = timedelta(hours=1)
NODE_REASONS = (Reason.NODE_LOST, Reason.HOST_SILENT)
SLOW_FACTOR = 6
"""A slow GPU is kept away for so many times as long: it is slow only while it hosts, so it always seems well then."""

Place = tuple[str, int | None]


def next_history(
    spec: MoEStageSpec,
    masks: Iterable[MaskedRank],
    slow: Iterable[Leaving],
    uuids: Mapping[int, str],
    now: datetime,
) -> list[GpuRecord]:
    """The records with the failures of ranks that are masked anew, and of those that are `slow`; without cleared ones.

    Records that have grown old go with the next failure only: forgetting alone is no reason to commit. `uuids` are the
    names of the ranks' GPUs, as far as they are known.
    """
    records = {_place(record): record for record in spec.history if not is_cleared(record, spec.failover)}
    held = _held(spec, now)
    failed: dict[Place, tuple[int, int]] = {
        place: (SLOW_FACTOR, one.rank) for one in slow if (place := (one.node, one.gpu)) not in held
    }
    failed |= {lost: (1, mask.rank) for mask in masks if (lost := _failed_place(mask)) is not None}
    if failed:
        records = {place: record for place, record in records.items() if _counts(record, now)}
    for (node, gpu), (factor, rank) in failed.items():
        failures = records[node, gpu].failures + 1 if (node, gpu) in records else 1
        until = rfc3339(now + _quarantine(spec.failover, failures) * factor)
        uuid = uuids.get(rank) if gpu is not None else None
        records[node, gpu] = GpuRecord(node=node, gpu=gpu, uuid=uuid, failures=failures, last=rfc3339(now), until=until)
    return list(records.values())


def quarantined(seats: Seats, now: datetime) -> dict[int, datetime]:
    """Masked ranks whose GPU is well but has not been for long enough, and until when that is so."""
    spec = seats.snapshot.stage.spec
    ends = {mask.rank: _end(mask, seats, now) for mask in spec.masked}
    return {rank: end for rank, end in ends.items() if end is not None and end > now}


def kept_away(seats: Seats, now: datetime) -> dict[int, datetime]:
    """Ranks that could host, on a GPU or node that is in quarantine, and until when: they were slow, or are needed."""
    spec = seats.snapshot.stage.spec
    masked, held = {mask.rank for mask in spec.masked}, _held(spec, now)
    kept: dict[int, datetime] = {}
    for seat in spec.ranks:
        pod = seats.pod(seat)
        node = (pod.node if pod else None) or ""
        ends = [held[place] for place in ((node, seat.gpu), (node, None)) if place in held]
        if seat.rank not in masked and ends:
            kept[seat.rank] = max(ends)
    return kept


def failures_of(spec: MoEStageSpec, node: str | None, gpu: int | None, now: datetime) -> int:
    """How often a GPU has failed, each time within an hour of the time before; 0 once that is forgotten."""
    return max((r.failures for r in _records(spec, now) if r.node == node and r.gpu == gpu), default=0)


def quarantined_nodes(spec: MoEStageSpec, now: datetime) -> set[str]:
    """Nodes with a GPU, or that themselves, must be well for longer."""
    failed = {mask.node for mask in spec.masked if mask.reason == Reason.GPU_FAILED and mask.node is not None}
    return failed | {node for node, _ in _held(spec, now)}


def is_cleared(record: GpuRecord, failover: FailoverSpec) -> bool:
    """Whether a person said since that the GPU, or all of its node, is well."""
    return any(_clears(cleared, record) for cleared in failover.cleared)


def _clears(cleared: ClearedGpu, record: GpuRecord) -> bool:
    at, last = moment_of(cleared.at), moment_of(record.last)
    is_meant = cleared.means(record.node, record.gpu, record.uuid)
    return is_meant and at is not None and last is not None and last <= at


def _end(mask: MaskedRank, seats: Seats, now: datetime) -> datetime | None:
    seat = seats.seat(mask.rank)
    pod, report = (seats.pod(seat), seats.report(seat)) if seat else (None, None)
    if seat is None or pod is None or report is None:
        return None
    ends = []
    for record in _records(seats.snapshot.stage.spec, now):
        if record.node == pod.node and record.gpu in (None, seat.gpu):
            well_since = moment_of(report.since) if mask.reason == Reason.GPU_FAILED else None
            ends.append(moment_of(record.until) or now)
            if well_since is not None:
                ends.append(well_since + _quarantine(seats.snapshot.stage.spec.failover, record.failures))
    return max(ends, default=None)


def _records(spec: MoEStageSpec, now: datetime) -> list[GpuRecord]:
    return [r for r in spec.history if _counts(r, now) and not is_cleared(r, spec.failover)]


def _counts(record: GpuRecord, now: datetime) -> bool:
    last = moment_of(record.last)
    return last is not None and now - last < MEMORY


def _held(spec: MoEStageSpec, now: datetime) -> dict[Place, datetime]:
    """Until when each place is in quarantine."""
    ends = {_place(record): moment_of(record.until) for record in _records(spec, now)}
    return {place: end for place, end in ends.items() if end is not None and end > now}


def _quarantine(failover: FailoverSpec, failures: int) -> timedelta:
    """Doubled by each failure; a GPU is forgotten after an hour, so it is never kept away for longer than that."""
    longest = max(MEMORY.total_seconds(), failover.quarantine_seconds)
    return timedelta(seconds=min(longest, failover.quarantine_seconds * 2.0 ** min(failures - 1, 30)))


def _failed_place(mask: MaskedRank) -> Place | None:
    """What failed: a GPU or a whole node; None for a pod that was deleted, which is nobody's fault."""
    if mask.node is None or mask.is_rehearsed:
        return None
    if mask.reason == Reason.GPU_FAILED:
        return mask.node, mask.gpu
    return (mask.node, None) if mask.reason in NODE_REASONS else None


def _place(record: GpuRecord) -> Place:
    return record.node, record.gpu
