"""The quarantine as it is remembered in a MoEStage's spec: which rank, which GPU, why, since when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from moe_api.conditions import rfc3339
from moe_api.names import Reason
from moe_api.stage import MaskedRank, MoEStageSpec
from moe_operator.decide.seats import Loss, Seats


def new_masks(spec: MoEStageSpec, losses: Mapping[int, Loss], now: datetime) -> dict[int, MaskedRank]:
    """Details of ranks that are newly masked, or masked for another cause than before, by rank."""
    known = {mask.rank: mask for mask in spec.masked}
    return {
        rank: _mask(loss, now) for rank, loss in losses.items() if rank not in known or _is_new_cause(known[rank], loss)
    }


def returning(seats: Seats, losses: Mapping[int, Loss]) -> frozenset[int]:
    """Masked ranks that are well: they serve, and nothing is said against them."""
    spec = seats.snapshot.stage.spec
    masked = {mask.rank for mask in spec.masked}
    return frozenset(s.rank for s in spec.ranks if s.rank in masked and s.rank not in losses and seats.is_serving(s))


def _is_new_cause(mask: MaskedRank, loss: Loss) -> bool:
    """A bad GPU stays the cause when its pod goes too, so that the quarantine is not forgotten.

    One that was taken for bad in a drill, and then is, counts from then on.
    """
    if loss.reason != Reason.GPU_FAILED:
        return False
    return (mask.reason, mask.node) != (loss.reason, loss.node) or (mask.is_rehearsed and not loss.is_rehearsed)


def _mask(loss: Loss, now: datetime) -> MaskedRank:
    return MaskedRank(
        rank=loss.rank,
        reason=loss.reason,
        message=loss.message,
        since=rfc3339(now),
        node=loss.node,
        gpu=loss.gpu,
        is_rehearsed=loss.is_rehearsed,
    )
