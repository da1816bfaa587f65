"""MoEStage: the operator's committed decisions for one stage of one replica, and what is observed of it."""

from typing import Literal

from pydantic import Field

from moe_api.base import ApiModel, ObjectMeta, SpecModel
from moe_api.conditions import Condition
from moe_api.engine import EngineSpec, FailoverSpec
from moe_api.model import Dtype
from moe_api.quantity import Duration
from moe_api.shape import ShapeSpec

RankState = Literal["pending", "starting", "serving", "failed", "masked", "lost"]
ExpertState = Literal["pending", "loading", "serving", "lost"]
MoveCause = Literal["rank", "gpu", "pod", "node", "home"]


class StageModelSpec(SpecModel):
    """The model as the workers find it."""

    path: str = ""
    """Folder inside the mounted volume."""
    dtype: Dtype
    """Number type in which weights are held and computed with."""
    name: str
    """Served name."""
    shape: ShapeSpec
    """Declared sizes; the workers compare them with the checkpoint."""


class RankSpec(SpecModel):
    """A seat: one GPU of one pod."""

    rank: int = Field(ge=0)
    """Number of the seat in its replica; never changes."""
    pod: str
    """Name of the pod that has the seat."""
    pod_uid: str | None = None
    """UID of that pod, once it exists."""
    gpu: int = Field(ge=0)
    """Index among the pod's GPUs."""
    node: str | None = None
    """Node that the plan prefers for the pod."""


class ExpertSpec(SpecModel):
    """The hosts of one expert."""

    expert: int = Field(ge=0)
    """Global id: layer times experts per layer, plus the index in the layer."""
    ranks: list[int] = Field(default_factory=list)
    """Ranks that serve it, preferred first; empty when the expert is lost."""
    loading: list[int] = Field(default_factory=list)
    """Ranks that load it and do not serve it yet."""


class LaneSpec(SpecModel):
    """The rank of this stage that holds a lane."""

    lane: int = Field(ge=0)
    """Number of the lane."""
    rank: int | None = None
    """Its rank; none while no rank has room for it."""
    leaving_since: str | None = None
    """Since when it is to move to another rank, as soon as its requests are through or failover.drainSeconds are."""


class MaskedRank(SpecModel):
    """A rank whose GPU is quarantined: nothing is placed there until it is cleared."""

    rank: int = Field(ge=0)
    """The rank."""
    reason: str
    """One word for the cause."""
    message: str = ""
    """The cause for people."""
    since: str = ""
    """When it was masked."""
    node: str | None = None
    """Node of the quarantined GPU."""
    gpu: int | None = None
    """Index of the quarantined GPU among its pod's."""
    is_rehearsed: bool = False
    """Whether its GPU failed in a drill only, which is not remembered against it."""


class GpuRecord(SpecModel):
    """What is remembered of a GPU that failed, also after it hosts again."""

    node: str
    """Its node."""
    gpu: int | None = Field(default=None, ge=0)
    """Its index among its pod's GPUs; none where the node itself failed."""
    uuid: str | None = None
    """What its driver and device plugin call it, where its worker told."""
    failures: int = Field(ge=1)
    """Failures so far, each within an hour of the one before."""
    last: str
    """When the last one was noticed."""
    until: str = ""
    """Until when nothing is placed on it, however well it seems."""


class PauseSpec(SpecModel):
    """The breaker is open: so many GPUs failed at once that nothing is moved."""

    since: str
    """When it opened."""
    message: str
    """What was seen, for people."""


class StageDrillSpec(SpecModel):
    """A rehearsed failure of one rank, which its supervisor carries out once."""

    name: str
    """Which drill; a supervisor does each once."""
    rank: int = Field(ge=0)
    """The rank that fails."""
    failure: Literal["exit", "hang", "device"]
    """How it fails."""
    until: str
    """When a GPU that was taken for broken is well again."""


class RehearsalSpec(SpecModel):
    """A drill as the first stage of its replica tells of it, from before the failure until everything is judged."""

    name: str
    """Which drill."""
    since: str
    """When it was begun."""
    gateway: str
    """The gateway's pod that keeps requests under way."""
    streams: int = Field(ge=1)
    """How many at a time."""
    stall_below: Duration
    """Every wait for a token must be shorter to pass."""
    rank: int = Field(ge=0)
    """The rank that is to fail, in whichever stage it is."""
    failure: Literal["exit", "hang", "device"]
    """How."""
    incarnation: int = Field(ge=0)
    """Which process had the rank's seat before."""
    head: int | None = None
    """Rank that heads a lane of that rank, so that some request is in the very lane; none where it has no lane."""
    over_since: str | None = None
    """When no more requests were wanted, because everything was well again or never became so."""
    fault: str = ""
    """Why the drill is not passed, whatever the requests met; for people."""


class MoEStageSpec(SpecModel):
    """Decisions only; every change of them is a commit, and metadata.generation is its epoch."""

    deployment: str
    """MoEDeployment that owns the stage."""
    replica: int = Field(ge=0)
    """Replica that the stage belongs to."""
    stage: int = Field(ge=0)
    """Ordinal of the stage in its replica."""
    stages: int = Field(ge=1)
    """Stages of the replica; they form a ring."""
    ranks_per_stage: int = Field(ge=1)
    """Ranks, and lanes, of each stage."""
    first_layer: int = Field(ge=0)
    """First layer of the stage."""
    num_layers: int = Field(ge=1)
    """Consecutive layers of the stage."""
    model: StageModelSpec
    """The model."""
    engine: EngineSpec
    """How the ranks batch and cache."""
    failover: FailoverSpec
    """When something counts as failed."""
    ranks: list[RankSpec]
    """Seats of the stage: which pod and GPU each rank has."""
    experts: list[ExpertSpec]
    """Hosts of every expert of the stage's layers."""
    lanes: list[LaneSpec]
    """Ranks of every lane."""
    masked: list[MaskedRank] = Field(default_factory=list)
    """Ranks whose GPU is quarantined."""
    history: list[GpuRecord] = Field(default_factory=list)
    """GPUs that failed, remembered for an hour after their last failure."""
    paused: PauseSpec | None = None
    """Set while the breaker is open."""
    draining_lanes: list[int] = Field(default_factory=list)
    """On the first stage: lanes that some stage of the replica is about to move, or has no rank for, so that no new
    request is given to them.
    """
    drill: StageDrillSpec | None = None
    """A failure that is being rehearsed."""
    loads_every_seconds: float = Field(default=600, ge=1, le=86400)
    """How often the workers report what they counted for each expert and lane."""
    rehearsal: RehearsalSpec | None = None
    """On the first stage: a drill in some stage of the replica."""


class RankStatus(ApiModel):
    """What a rank's pod reports of it."""

    rank: int
    """The rank."""
    pod: str = ""
    """Pod that has the seat."""
    pod_uid: str | None = None
    """UID of the pod that the address belongs to."""
    node: str | None = None
    """Node on which the pod runs."""
    gpu: int = 0
    """Index among the pod's GPUs."""
    uuid: str | None = None
    """What the GPU's driver and device plugin call it, where the worker can tell."""
    address: str | None = None
    """Where the rank accepts its peers, ip:port."""
    incarnation: int = 0
    """Which process sits in the seat; grows with every start."""
    state: RankState = "pending"
    """pending, starting, serving, failed, masked or lost."""


class ExpertStatus(ApiModel):
    """One host of an expert: the expert map."""

    expert: int
    """Global id of the expert."""
    layer: int
    """Its layer."""
    rank: int | None = None
    """Rank that hosts it; none when it is lost."""
    gpu: int | None = None
    """GPU of that rank, among its pod's."""
    pod: str | None = None
    """Pod of that rank."""
    node: str | None = None
    """Node of that pod."""
    state: ExpertState = "pending"
    """pending, loading, serving or lost."""


class MoveStatus(ApiModel):
    """A past failover, or a return to the planned hosts."""

    time: str
    """When it was committed."""
    cause: str
    """What failed or came back, and why."""
    rank: int | None = None
    """The rank that failed or came back."""
    node: str | None = None
    """Its node."""
    gpu: int | None = None
    """Its GPU, among its pod's."""
    experts: list[int] = Field(default_factory=list)
    """Experts that moved."""
    lanes: list[int] = Field(default_factory=list)
    """Lanes that moved."""
    to_ranks: list[int] = Field(default_factory=list)
    """New hosts of the experts and lanes."""
    detect_ms: int | None = None
    """From the failure to its report, milliseconds."""
    commit_ms: int | None = None
    """From the report to the commit, milliseconds."""
    load_ms: int | None = None
    """From the commit to every moved expert serving, milliseconds."""


class MoEStageStatus(ApiModel):
    """What is observed of the stage."""

    observed_generation: int = 0
    """The metadata.generation that this status is about."""
    epoch: int = 0
    """The epoch that every pod has applied."""
    ranks: list[RankStatus] = Field(default_factory=list)
    """Every seat and where it is reached."""
    experts: list[ExpertStatus] = Field(default_factory=list)
    """The expert map: expert, rank, GPU, pod and node."""
    ready_experts: int = 0
    """Experts with a live host."""
    total_experts: int = 0
    """Experts of the stage."""
    experts_summary: str = ""
    """Ready and all experts, e.g. 16/16."""
    ranks_summary: str = ""
    """Serving and all ranks, e.g. 15/16."""
    coverage: int = 0
    """The least number of live copies of any expert; 0 when one is lost."""
    reason: str = ""
    """The most important reason of the conditions, one word."""
    moves: list[MoveStatus] = Field(default_factory=list)
    """The last failovers, newest last."""
    conditions: list[Condition] = Field(default_factory=list)
    """Available, Degraded and Progressing."""


class MoEStage(ApiModel):
    """One pipeline stage of a MoEDeployment: its committed layout and its expert map. Made by the operator."""

    api_version: Literal["moe-operator.dev/v1alpha1"] = "moe-operator.dev/v1alpha1"
    kind: Literal["MoEStage"] = "MoEStage"
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: MoEStageSpec
    """What the operator decided."""
    status: MoEStageStatus = Field(default_factory=MoEStageStatus)
    """What is observed."""
