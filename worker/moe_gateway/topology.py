"""From the stages of the API to the heads worth a connection: who heads lanes, in which pod, at what address."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from moe_api.stage import MoEStage
from moe_gateway.router import HeadKey


@dataclass(frozen=True, kw_only=True)
class HeadTarget:
    """A head as the layout wants it. `address` is None until its pod has reported one.

    `num_open_lanes` are those of its lanes that are not about to move.
    """

    key: HeadKey
    num_lanes: int
    num_open_lanes: int
    epoch: int
    address: tuple[str, int] | None


def head_targets(stages: Iterable[MoEStage]) -> dict[HeadKey, HeadTarget]:
    """The seats that head at least one lane, of all first stages given."""
    targets: dict[HeadKey, HeadTarget] = {}
    for stage in stages:
        if stage.spec.stage == 0 and not stage.metadata.is_deleting:
            targets.update((target.key, target) for target in _targets_of(stage))
    return targets


def _targets_of(stage: MoEStage) -> Iterable[HeadTarget]:
    draining = frozenset(stage.spec.draining_lanes)
    num_lanes = Counter(lane.rank for lane in stage.spec.lanes if lane.rank is not None)
    num_open = Counter(lane.rank for lane in stage.spec.lanes if lane.lane not in draining)
    reported = {(seat.rank, seat.pod_uid): seat.address for seat in stage.status.ranks}
    for seat in stage.spec.ranks:
        if seat.pod_uid and num_lanes[seat.rank]:
            yield HeadTarget(
                key=HeadKey(replica=stage.spec.replica, rank=seat.rank, pod_uid=seat.pod_uid),
                num_lanes=num_lanes[seat.rank],
                num_open_lanes=num_open[seat.rank],
                epoch=stage.metadata.generation,
                address=_parse(reported.get((seat.rank, seat.pod_uid))),
            )


def _parse(address: str | None) -> tuple[str, int] | None:
    host, _, port = (address or "").rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdigit() else None
