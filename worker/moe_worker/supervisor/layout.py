"""MoEStage objects to views: decisions come from the spec, other pods' addresses from the status. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from moe_api import names
from moe_api.stage import MoEStage, RankSpec
from moe_worker.protocol.view import SeatView, StageView, View


@dataclass(frozen=True, kw_only=True)
class Ring:
    """The names of the stage objects before and after one's own; for a single stage both are its own."""

    previous: str
    own: str
    next: str

    @classmethod
    def around(cls, stage: MoEStage) -> "Ring":
        spec = stage.spec
        before, after = (spec.stage - 1) % spec.stages, (spec.stage + 1) % spec.stages
        return cls(
            previous=names.stage_name(spec.deployment, spec.replica, before),
            own=stage.metadata.name,
            next=names.stage_name(spec.deployment, spec.replica, after),
        )


def pod_seats(stage: MoEStage, pod_uid: str) -> list[RankSpec]:
    """The seats that the layout gives to this pod; none while it names another UID, or no longer this one."""
    return [seat for seat in stage.spec.ranks if seat.pod_uid == pod_uid]


def stage_view(stage: MoEStage, own_addresses: Mapping[tuple[int, str], str]) -> StageView:
    """`own_addresses` ((rank, pod UID) -> "ip:port", "" while out of service) is known better here than by the
    status. A masked rank has none, except where nobody hears it: its peers go on trying, and tell when they do.
    """
    reported = {(rank.rank, rank.pod_uid): rank.address for rank in stage.status.ranks}
    masked = {rank.rank for rank in stage.spec.masked if rank.reason != names.Reason.HOST_SILENT}
    seats = {}
    for seat in stage.spec.ranks:
        if seat.pod_uid is None:
            continue
        who = (seat.rank, seat.pod_uid)
        address = own_addresses.get(who, reported.get(who)) or None
        seats[seat.rank] = SeatView(
            rank=seat.rank, pod_uid=seat.pod_uid, gpu=seat.gpu, address=None if seat.rank in masked else address
        )
    return StageView(
        stage=stage.spec.stage,
        epoch=stage.metadata.generation,
        seats=seats,
        serving={expert.expert: tuple(expert.ranks) for expert in stage.spec.experts},
        loading={expert.expert: tuple(expert.loading) for expert in stage.spec.experts if expert.loading},
        lanes={lane.lane: lane.rank for lane in stage.spec.lanes},
        draining=frozenset(stage.spec.draining_lanes),
    )


def view_of(
    own: MoEStage,
    previous: MoEStage | None,
    following: MoEStage | None,
    own_addresses: Mapping[tuple[int, str], str],
) -> View:
    """What a rank of `own` sees; a neighbour of which nothing has been heard is empty."""
    spec = own.spec
    before, after = (spec.stage - 1) % spec.stages, (spec.stage + 1) % spec.stages
    return View(
        own=stage_view(own, own_addresses),
        previous=stage_view(previous, own_addresses) if previous else StageView.unknown(before),
        next=stage_view(following, own_addresses) if following else StageView.unknown(after),
    )


def unapplied(
    stage: MoEStage, pod_uid: str, held: Mapping[int, frozenset[int]], epochs: Mapping[int, int]
) -> list[str]:
    """What this pod still lacks of the layout, in words; nothing when it is applied.

    `held` are the experts that each serving rank holds, `epochs` the epochs they follow; ranks that do not serve are
    absent.
    """
    masked = {rank.rank for rank in stage.spec.masked}
    named = [seat.rank for seat in pod_seats(stage, pod_uid)]
    seats = [rank for rank in named if rank not in masked]
    lacks = [f"rank {rank} is not serving" for rank in seats if rank not in held]
    for rank in seats:
        if rank in held and epochs[rank] < stage.metadata.generation:
            lacks.append(f"rank {rank} follows epoch {epochs[rank]} of {stage.metadata.generation}")
    for expert in stage.spec.experts:
        lacks += [f"rank {rank} has not loaded expert {expert.expert}" for rank in expert.ranks
                  if rank in seats and rank in held and expert.expert not in held[rank]]  # fmt: skip
    return lacks if named else ["the layout names no rank of this pod"]
