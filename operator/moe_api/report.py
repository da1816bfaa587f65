"""What a pod's supervisor reports about its ranks: the JSON in the pod's `moe-operator.dev/report` annotation."""

from typing import Literal

from pydantic import Field

from moe_api.base import ApiModel

SeatState = Literal["starting", "serving", "failed"]


class FailedExpert(ApiModel):
    expert: int
    reason: str = ""


class GpuHealth(ApiModel):
    index: int = 0
    healthy: bool = True
    reason: str = ""


class SeatReport(ApiModel):
    """One rank. `address` is "ip:port", "" while there is none; `since` is when `state` last changed."""

    rank: int
    incarnation: int = 0
    address: str = ""
    state: SeatState = "starting"
    experts: list[int] = Field(default_factory=list)
    loading: list[int] = Field(default_factory=list)
    failed: list[FailedExpert] = Field(default_factory=list)
    gpu: GpuHealth = Field(default_factory=GpuHealth)
    restarts: int = 0
    since: str = ""


class UnreachablePeer(ApiModel):
    rank: int
    since: str = ""


class Report(ApiModel):
    """`epoch` is the applied one; `error` is why the pod cannot work at all (value, rule, remedy), else ""."""

    epoch: int = 0
    seats: list[SeatReport] = Field(default_factory=list)
    unreachable: list[UnreachablePeer] = Field(default_factory=list)
    error: str = ""

    def to_json(self) -> str:
        """Compact and in a fixed order, so that equal reports are equal strings."""
        return self.model_dump_json(by_alias=True)

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Raises pydantic.ValidationError on anything that is no report."""
        return cls.model_validate_json(text)

    def seat(self, rank: int) -> SeatReport | None:
        return next((seat for seat in self.seats if seat.rank == rank), None)
