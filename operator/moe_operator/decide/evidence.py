"""All that is known of a stage's ranks at one moment: who cannot host, who should not, who may again, and when.

Puts the single judgements together; what follows from them is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from moe_api.conditions import rfc3339
from moe_api.moment import moment_of
from moe_api.names import Reason
from moe_api.stage import PauseSpec
from moe_operator.decide.history import kept_away, quarantined
from moe_operator.decide.leaving import Leaving, find_leaving
from moe_operator.decide.masks import returning
from moe_operator.decide.reported import find_reported
from moe_operator.decide.seats import Loss, Seats, find_losses, has_started
from moe_operator.decide.silence import Silence, find_silence
from moe_operator.decide.slow import find_slow
from moe_operator.decide.storm import next_pause
from moe_operator.snapshot import Pod

REPLACED_AFTER = timedelta(minutes=1)
"""A pod that nobody hears for so long is replaced: by then it is no passing trouble of the network."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """`losses` are to be acted on, `doubted` are failed GPUs that are not, because the breaker is open (`paused`).

    `returning` are masked ranks that may host again; `held` are well too, but in quarantine until then. `silent` are
    the UIDs of pods to be replaced because nobody has heard them for long, `slow` the ranks whose GPUs are.
    """

    losses: Mapping[int, Loss]
    leaving: Mapping[int, Leaving]
    returning: frozenset[int]
    held: Mapping[int, datetime]
    doubted: frozenset[int]
    paused: PauseSpec | None
    silent: frozenset[str]
    slow: tuple[Leaving, ...]
    look_again: datetime | None


def find_evidence(seats: Seats, now: datetime) -> Evidence:
    """What the reports, the nodes and the spec say now.

    Of several reasons to leave a GPU a person's word comes first, then who calls it bad, then who calls it slow.
    """
    spec = seats.snapshot.stage.spec
    silence = _silence(seats, now)
    found = find_losses(seats, silence.since)
    masked = {mask.rank for mask in spec.masked}
    new_failures = {rank for rank, loss in found.items() if loss.reason == Reason.GPU_FAILED and rank not in masked}
    paused = next_pause(spec, _replica_pods(seats), bool(new_failures), now)
    doubted = frozenset(new_failures if paused is not None else ())
    losses = {rank: loss for rank, loss in found.items() if rank not in doubted}
    well = returning(seats, found)
    held = {rank: end for rank, end in quarantined(seats, now).items() if rank in well}
    kept, slow = kept_away(seats, now), find_slow(seats)
    leaving = {**_waiting(seats, kept), **slow, **find_reported(seats), **find_leaving(seats)}
    replacements = _replacements(seats, silence)
    waits = (silence.look_again, *held.values(), *kept.values(), *replacements.values())
    return Evidence(
        losses=losses,
        leaving={rank: one for rank, one in sorted(leaving.items()) if rank not in found},
        returning=well - frozenset(held),
        held=held,
        doubted=doubted,
        paused=paused,
        silent=frozenset(uid for uid, moment in replacements.items() if moment <= now),
        slow=tuple(one for one in slow.values() if one.rank not in found),
        look_again=min((moment for moment in waits if moment is not None and moment > now), default=None),
    )


def _waiting(seats: Seats, kept: Mapping[int, datetime]) -> dict[int, Leaving]:
    """GPUs that could host and are to show for a while that they are well: a slow one shows it by hosting only."""
    waiting = {}
    for rank, end in kept.items():
        seat = seats.seat(rank)
        pod = seats.pod(seat) if seat else None
        if seat is not None and pod is not None and pod.node is not None:
            message = f"it was slow, or failed, a short time ago; it hosts again from {rfc3339(end)}"
            waiting[rank] = Leaving(rank=rank, reason=Reason.GPU_SLOW, message=message, node=pod.node, gpu=seat.gpu)
    return waiting


def _silence(seats: Seats, now: datetime) -> Silence:
    if not has_started(seats.snapshot.stage):
        return Silence(since={})
    uids = {seat.pod_uid for seat in seats.snapshot.stage.spec.ranks}
    pods = {node_rank: pod for node_rank, pod in seats.pods.items() if pod is not None and pod.uid in uids}
    masked = {mask.rank for mask in seats.snapshot.stage.spec.masked if mask.reason == Reason.HOST_SILENT}
    known = {seats.node_rank(seat) for seat in seats.snapshot.stage.spec.ranks if seat.rank in masked}
    return find_silence(pods, seats.snapshot.others, now, known=known)


def _replacements(seats: Seats, silence: Silence) -> dict[str, datetime]:
    """When each silent pod, by its UID, is to be replaced."""
    silent = {pod.uid for node_rank in silence.since if (pod := seats.pods[node_rank]) is not None}
    since = {
        seat.pod_uid: moment_of(mask.since)
        for mask in seats.snapshot.stage.spec.masked
        if mask.reason == Reason.HOST_SILENT and (seat := seats.seat(mask.rank)) is not None
    }
    return {uid: moment + REPLACED_AFTER for uid in silent if (moment := since.get(uid)) is not None}


def _replica_pods(seats: Seats) -> list[Pod]:
    return [*(pod for pod in seats.pods.values() if pod is not None), *seats.snapshot.others]
