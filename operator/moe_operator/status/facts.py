"""What a stage's conditions are judged by, found once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from moe_api.conditions import Condition, ConditionStatus
from moe_api.names import ConditionType, Reason
from moe_api.stage import MaskedRank
from moe_operator.decide.evidence import Evidence
from moe_operator.decide.seats import Seats

MESSAGE_LIMIT = 32768


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the conditions are judged by: what is said of the ranks, and the hosts of every expert, by its id."""

    seats: Seats
    evidence: Evidence
    copies: Mapping[int, int]
    planned_copies: Mapping[int, int]
    now: datetime

    @property
    def unhosted(self) -> list[int]:
        """Experts that no rank is to serve."""
        return [expert.expert for expert in self.seats.snapshot.stage.spec.experts if not expert.ranks]

    @property
    def homeless_lanes(self) -> list[int]:
        return [lane.lane for lane in self.seats.snapshot.stage.spec.lanes if lane.rank is None]

    @property
    def unserved_lanes(self) -> list[int]:
        """Lanes whose rank does not serve yet: what a stage of dense layers, without experts, is judged by."""
        spec = self.seats.snapshot.stage.spec
        serving = {seat.rank for seat in spec.ranks if self.seats.is_serving(seat)}
        return [lane.lane for lane in spec.lanes if lane.rank not in serving]

    @property
    def masked(self) -> list[MaskedRank]:
        return self.seats.snapshot.stage.spec.masked


def condition(type_: ConditionType, status: ConditionStatus, reason: Reason, message: str) -> Condition:
    """As long as Kubernetes takes it; the time of its last change is not known here."""
    return Condition(type=type_, status=status, reason=reason, message=message[:MESSAGE_LIMIT])
