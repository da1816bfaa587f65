"""Settings of the running engine and of failover, shared by MoEDeployment and MoEStage."""

from typing import Literal

from pydantic import ConfigDict, Field

from moe_api import rules
from moe_api.base import SpecModel
from moe_api.moment import Moment
from moe_api.quantity import Duration


class EngineSpec(SpecModel):
    """How a rank batches and caches. A lane is the ranks, one in each stage, that hold a sequence's KV cache."""

    model_config = ConfigDict(json_schema_extra=rules.ENGINE)

    block_size: int = Field(default=16, ge=1, le=1024)
    """Tokens in one block of KV cache."""
    blocks_per_lane: int = Field(default=256, ge=1, le=1048576)
    """Blocks of KV cache of one lane."""
    lanes_per_rank: int = Field(default=3, ge=1, le=64)
    """Lanes for which each rank reserves KV cache: its own and those it takes over when others fail."""
    max_step_tokens: int = Field(default=256, ge=1, le=65536)
    """Tokens in one step of a lane at most; longer prompts are cut into chunks."""
    max_steps_in_flight: int = Field(default=4, ge=1, le=64)
    """Steps of one lane that are under way at the same time at most."""
    max_waiting: int = Field(default=256, ge=1, le=65536)
    """Requests that may wait for KV cache in one lane; one more is refused with 429 where no other lane has room. A
    stream that has begun is never refused."""
    max_sequence_length: int = Field(default=2048, ge=2, le=16777216)
    """Tokens of prompt and completion together at most; must fit into one lane's blocks."""
    log_requests: bool = False
    """Has ranks log every request that begins or ends in a lane, under the client's X-Request-Id; else only what became
    of it on the way: returned, taken up again, dropped or failed."""
    transport: Literal["tcp", "nixl"] = "tcp"
    """How rows travel between ranks. nixl: large ones are read out of the sender's memory with NVIDIA NIXL, over
    InfiniBand, RoCE or shared memory; only in a trusted network, for UCX asks nobody who they are."""


class GpuPlace(SpecModel):
    """A GPU of a node, or all of them."""

    node: str = Field(min_length=1, max_length=253)
    """Name of the node."""
    gpu: int | None = Field(default=None, ge=0, le=1023)
    """Index among the GPUs of a worker's pod there, which is the node's own where one pod has the whole node; all of
    them when left out."""
    uuid: str | None = Field(default=None, min_length=1, max_length=253)
    """The GPU by the name that its driver and device plugin give it, such as GPU-5b2e... in nvidia-smi -L, whichever
    index it has in which pod; any when left out."""

    def means(self, node: str | None, gpu: int | None, uuid: str | None) -> bool:
        """Whether it names this GPU; `gpu` is None for a node as a whole, `uuid` None or "" where nobody knows it."""
        return self.node == node and self.gpu in (None, gpu) and self.uuid in (None, uuid)


class EvacuatedGpu(GpuPlace):
    """A GPU, or all of a node, that is to be emptied."""


class ClearedGpu(GpuPlace):
    """A person's word that a GPU, or all of a node, is well again."""

    at: Moment
    """A time, such as 2026-01-31T08:00:00Z: failures before it are forgotten."""


class DrillSpec(SpecModel):
    """A failure to be rehearsed on the running system, and what must hold meanwhile."""

    failure: Literal["exit", "hang", "device"] = "exit"
    """exit: a rank's process is killed. hang: it is stopped. device: its GPU is taken for broken for a while."""
    at: Moment
    """When, such as 2026-01-31T08:00:00Z; at once where that is past. A new time is a new drill."""
    every: Duration | None = None
    """Again after so long, e.g. 24h; once when left out."""
    stage: int | None = Field(default=None, ge=0, le=65535)
    """Stage in which something fails; another one each time when left out."""
    streams: int = Field(default=4, ge=1, le=256)
    """Requests of its own that a gateway keeps under way during the drill."""
    stall_below: Duration = "2s"
    """Every wait for a token must be shorter to pass; a hang, which shows by its silence, has heartbeatSeconds more."""


class FailoverSpec(SpecModel):
    """When something counts as failed, what is moved then and how fast, and how long requests wait."""

    hold_seconds: float = Field(default=30, ge=0, le=3600)
    """How long a request that no capacity can serve waits before it gets an error."""
    heartbeat_seconds: float = Field(default=2, ge=0.5, le=300)
    """A rank that is silent for this long is killed and started again."""
    restart_budget: int = Field(default=3, ge=0, le=100)
    """Restarts of one rank within 60 seconds before its GPU counts as failed."""
    evacuate: list[EvacuatedGpu] = Field(default_factory=list, max_length=1024)
    """GPUs and nodes to be emptied: what they hold is loaded elsewhere first and moved then. A cordoned node is too."""
    drain_seconds: float = Field(default=10, ge=0, le=3600)
    """How long a lane that is to leave a GPU may go on with the requests it has; then the rest is recomputed."""
    loads_at_once: int = Field(default=4, ge=1, le=1024)
    """Experts that one stage loads at the same time, at most, where every expert has a host meanwhile."""
    quarantine_seconds: float = Field(default=10, ge=0, le=86400)
    """How long a GPU that has failed must be well before it hosts again; doubled by each failure of the last hour."""
    cleared: list[ClearedGpu] = Field(default_factory=list, max_length=1024)
    """GPUs and nodes whose earlier failures are forgotten, so that they host again at once."""
    breaker_share: float = Field(default=0.5, gt=0, le=1)
    """When at least this share of a replica's GPUs, and more than two, fail within 30 s, nothing is moved: the cause is
    hardly the GPUs. Condition Degraded says so."""
    breaker_released: Moment | None = None
    """A time, such as 2026-01-31T08:00:00Z: failures before it are to be acted on, however many they are."""
    slow_factor: float = Field(default=5, ge=0, le=1000)
    """A GPU that for 10 s takes so many times as long as its stage's median is emptied; 0 never."""
    drill: DrillSpec | None = None
    """A failure to be rehearsed."""

    def of_stages(self) -> "FailoverSpec":
        """What a stage needs of it: a drill that is declared is no change of any layout."""
        return self.model_copy(update={"drill": None})
