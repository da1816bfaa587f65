"""What a pod's supervisor reports about its ranks: the JSON in the pod's `moe-operator.dev/report` annotation."""

from typing import Literal

from pydantic import Field

from moe_api.base import ApiModel

SeatState = Literal["starting", "serving", "failed"]


class FailedExpert(ApiModel):
    expert: int
    reason: str = ""


class GpuHealth(ApiModel):
    """`id` is what the device plugin calls the GPU, "" where the worker cannot tell. `is_rehearsed`: it is unhealthy
    for a drill only.
    """

    index: int = 0
    id: str = ""
    healthy: bool = True
    reason: str = ""
    is_rehearsed: bool = False


class ExpertLoad(ApiModel):
    """`tokens` is how many the rank has run through the expert since it was started (see `incarnation`)."""

    expert: int
    tokens: int = 0


class LaneLoad(ApiModel):
    """A lane at its head: requests, KV blocks, and how many of all tokens admitted so far the cache had already."""

    lane: int
    waiting: int = 0
    running: int = 0
    blocks: int = 0
    blocks_used: int = 0
    blocks_cached: int = 0
    tokens_admitted: int = 0
    tokens_found: int = 0


class SeatReport(ApiModel):
    """One rank. `address` is "ip:port", "" while there is none; `since` is when `state` last changed.

    `served` and `lanes` are its load, as it was at most ten minutes ago.
    """

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
    served: list[ExpertLoad] = Field(default_factory=list)
    lanes: list[LaneLoad] = Field(default_factory=list)

    @property
    def is_failed(self) -> bool:
        """Whether it has given up, or its GPU has."""
        return self.state == "failed" or not self.gpu.healthy


class UnreachablePeer(ApiModel):
    rank: int
    since: str = ""


class SlowPeer(ApiModel):
    """A rank of the stage that takes `factor` times as long as the stage's median to serve an expert's rows."""

    rank: int
    factor: float = 0
    since: str = ""


class Report(ApiModel):
    """`epoch` is the applied one; `error` is why the pod cannot work at all (value, rule, remedy), else "".

    `unreachable` may name ranks of the neighbouring stages too; ranks of the pod itself are never among them.
    """

    epoch: int = 0
    seats: list[SeatReport] = Field(default_factory=list)
    unreachable: list[UnreachablePeer] = Field(default_factory=list)
    slow: list[SlowPeer] = Field(default_factory=list)
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
