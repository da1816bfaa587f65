"""Ranks whose process was started again in its seat: nothing moves for that, but people should know."""

from __future__ import annotations

from collections.abc import Iterable

from moe_api.names import Reason
from moe_api.stage import RankStatus
from moe_operator.decide.actions import Event
from moe_operator.decide.words import place


def restart_events(before: Iterable[RankStatus], after: Iterable[RankStatus]) -> list[Event]:
    """One for each seat whose incarnation has grown in the same pod."""
    known = {rank.rank: rank for rank in before}
    return [
        Event(
            reason=Reason.RANK_RESTARTED,
            message=f"{place(rank.rank, rank.node, rank.gpu)}: its process was started again,"
            f" incarnation {rank.incarnation}",
            is_warning=True,
        )
        for rank in after
        if (old := known.get(rank.rank)) is not None
        and old.pod_uid == rank.pod_uid is not None
        and 0 < old.incarnation < rank.incarnation
    ]
