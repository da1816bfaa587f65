"""MoEDeployment: what the user asks for, and the operator's summary of what there is."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from moe_api import rules
from moe_api.base import ApiModel, ObjectMeta, SpecModel
from moe_api.conditions import Condition
from moe_api.engine import EngineSpec, FailoverSpec
from moe_api.hardware import HardwareSpec
from moe_api.model import ModelSpec
from moe_api.quantity import Duration


def _degree(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65536
    if not is_number and value != "auto":
        raise ValueError(f"{value!r} {rules.NO_DEGREE}")
    return value


Objective = Literal["balance", "cheapest", "fastest"]
Degree = Annotated[int | Literal["auto"], BeforeValidator(_degree)]


class ParallelismSpec(SpecModel):
    """Degrees of parallelism: a number fixes one, auto leaves it to the planner."""

    expert: Degree = "auto"
    """Expert-parallel ranks of one stage (EP). A document's "EP = 256" over 16 stages is 16 here."""
    pipeline: Degree = "auto"
    """Pipeline stages (PP), each a run of consecutive layers."""
    tensor: Degree = "auto"
    """Tensor-parallel ranks (TP). The workers of v1alpha1 run 1."""
    sequence: Degree = "auto"
    """Sequence-parallel ranks (SP). The workers of v1alpha1 run 1."""
    data: Degree = "auto"
    """Whole pipelines (DP). A number must equal spec.replicas; auto follows it."""
    objective: Objective = "balance"
    """What auto aims at: balance gives every expert a GPU of its own where the GPUs suffice, cheapest takes the fewest
    GPUs that meet the targets, fastest the shortest decode step on the given GPUs."""


class ExpertLoadSpec(SpecModel):
    """How often the experts of a layer are chosen, as far as it is known before the workers count it."""

    kind: Literal["uniform", "zipf"] = "uniform"
    """uniform: all equally often; zipf: the n-th as often as 1/n to the power of `exponent`."""
    exponent: float = Field(default=1.0, ge=0, le=10)
    """Exponent of zipf."""


class WorkloadSpec(SpecModel):
    """The load that the plan is made for."""

    model_config = ConfigDict(json_schema_extra=rules.WORKLOAD)

    batch_size: int = Field(default=32, ge=1, le=1048576)
    """Sequences that are served at the same time."""
    min_sequence_length: int = Field(default=1, ge=1, le=16777216)
    """Tokens of the shortest sequence."""
    max_sequence_length: int | None = Field(default=None, ge=1, le=16777216)
    """Tokens of the longest sequence; at most spec.engine.maxSequenceLength, and that when left out."""
    requests_per_second: float | None = Field(default=None, gt=0, le=1e9)
    """Requests that arrive in a second; as many as batchSize sequences at a time make when left out."""
    expert_load: ExpertLoadSpec = Field(default_factory=ExpertLoadSpec)
    """How uneven the experts' load is."""


class TargetsSpec(SpecModel):
    """What the deployment should reach. The plan judges each; the condition TargetsMet sums them up."""

    time_to_first_token: Duration | None = None
    """Longest time from a request to its first token, e.g. 10s."""
    time_per_output_token: Duration | None = None
    """Longest time between two tokens of a sequence, e.g. 100ms."""
    prefill_throughput_per_gpu: float | None = Field(default=None, gt=0, le=1e12)
    """Least prompt tokens per second and GPU."""
    decode_throughput_per_gpu: float | None = Field(default=None, gt=0, le=1e12)
    """Least generated tokens per second and GPU."""
    memory_share: float | None = Field(default=None, gt=0, le=1)
    """Largest share of a GPU's memory that is used, e.g. 0.02."""
    flops_share: float | None = Field(default=None, gt=0, le=1)
    """Least share of the peak FLOP/s that prefill reaches, e.g. 0.6."""


class CopiesOf(SpecModel):
    """An expert with another number of copies than the others."""

    expert: int = Field(ge=0, le=4194303)
    """Global id: layer times experts per layer, plus the index in the layer."""
    copies: int = Field(ge=1, le=64)
    """Its copies, on different GPUs."""


class RebalanceSpec(SpecModel):
    """Placement that follows the load which the workers count."""

    moves: int = Field(default=4, ge=1, le=1024)
    """Copies that one stage may load elsewhere in one round; it moves none where that makes its busiest GPU less than a
    tenth less busy."""
    every_seconds: float = Field(default=600, ge=1, le=86400)
    """How often the workers report what they counted, and a round at most takes place."""


class ExpertsSpec(SpecModel):
    """How often each expert is hosted. All of it may change while serving."""

    copies: int = Field(default=1, ge=1, le=64)
    """Copies of each expert, on different GPUs, and on different nodes where the stage has several."""
    copies_of: list[CopiesOf] | None = Field(default=None, max_length=4096)
    """Experts whose number of copies differs."""
    spare_copies: int = Field(default=0, ge=0, le=65536)
    """How many more copies in a stage may go to its hottest experts; none is made that would leave the busiest GPU as
    busy as it is.
    """
    survive: Literal["nothing", "gpu", "node"] = "nothing"
    """The loss that must leave every expert hosted without loading: any one gpu, or any one node."""
    rebalance: RebalanceSpec | None = None
    """Has experts and spare copies moved to where the counted load is; where the plan has them when left out."""

    @property
    def loads_every_seconds(self) -> float:
        """How often the workers report loads: more often only where somebody acts on them."""
        return RebalanceSpec().every_seconds if self.rebalance is None else self.rebalance.every_seconds


class WorkerSpec(SpecModel):
    """The workers' pods."""

    image: str = Field(default="", max_length=1024)
    """Container image; the operator's default when empty."""


class GatewaySpec(SpecModel):
    """The OpenAI-compatible front."""

    replicas: int = Field(default=1, ge=0, le=64)
    """Gateway pods."""
    image: str = Field(default="", max_length=1024)
    """Container image; the operator's default when empty."""
    api_keys_secret: str = Field(default="", max_length=253)
    """A Secret of the namespace, each of whose values holds API keys, one a line; everybody may ask when empty."""
    max_choices: int = Field(default=1024, ge=1, le=1048576)
    """Choices that one gateway pod has under way at most; more are told to try again (429)."""
    request_seconds: float = Field(default=600, gt=0, le=86400)
    """How long one answer may take."""
    streams_per_lane: int = Field(default=1, ge=1, le=256)
    """So many requests with short prompts go to one lane before another is opened; 1 spreads them over all lanes. Fewer
    lanes in use cost fewer messages a token, and one lost GPU breaks into more requests at a time.
    """
    drain_seconds: int = Field(default=25, ge=5, le=3600)
    """How long a gateway pod that is being stopped goes on with the answers that it has begun."""


class MoEDeploymentSpec(SpecModel):
    """A Mixture-of-Experts model to serve, the hardware for it, and how."""

    model_config = ConfigDict(json_schema_extra=rules.DEPLOYMENT_SPEC)

    replicas: int = Field(default=1, ge=0, le=256)
    """Whole pipelines, each with a copy of the model; 0 stops serving."""
    model: ModelSpec
    """Which model is served and where its checkpoint lies."""
    hardware: HardwareSpec
    """The GPU nodes to plan for and to run on."""
    parallelism: ParallelismSpec = Field(default_factory=ParallelismSpec)
    """Degrees of parallelism; all are planned unless fixed here."""
    workload: WorkloadSpec = Field(default_factory=WorkloadSpec)
    """The load that the plan is made for."""
    targets: TargetsSpec = Field(default_factory=TargetsSpec)
    """What the deployment should reach."""
    experts: ExpertsSpec = Field(default_factory=ExpertsSpec)
    """How often each expert is hosted."""
    failover: FailoverSpec = Field(default_factory=FailoverSpec)
    """When something counts as failed, and how long requests wait."""
    engine: EngineSpec = Field(default_factory=EngineSpec)
    """How the ranks batch and cache."""
    worker: WorkerSpec = Field(default_factory=WorkerSpec)
    """The workers' pods."""
    gateway: GatewaySpec = Field(default_factory=GatewaySpec)
    """The OpenAI-compatible front."""


class VerificationStatus(ApiModel):
    """One line of the plan's verification: what was computed, and whether it is within its limit."""

    name: str = ""
    """What is checked."""
    value: float = 0
    """The value of the plan."""
    limit: float = 0
    """What it is held against."""
    unit: str = ""
    """Unit of both."""
    verdict: Literal["holds", "fails", "unreachable"] = "holds"
    """holds, fails (this layout misses it) or unreachable (no layout can meet it)."""
    bound: str = ""
    """What limits the value."""


class DrillStatus(ApiModel):
    """A rehearsed failure, and whether what was promised held."""

    name: str
    """The time for which it was declared."""
    verdict: Literal["waiting", "running", "passed", "failed", "refused"]
    """waiting until all is well; refused when nothing was made to fail, and why."""
    message: str = ""
    """For people: what failed, what the requests met, or what is waited for."""
    failure: str = ""
    """exit, hang or device."""
    replica: int | None = None
    """The replica in which something failed."""
    stage: int | None = None
    """Its stage."""
    rank: int | None = None
    """Its rank."""
    started: str = ""
    """When requests were put under way for it."""
    ended: str = ""
    """When it was judged."""
    stall_ms: int | None = None
    """The longest wait for a token, milliseconds."""
    failed_requests: int | None = None
    """Requests that got an error."""
    wrong_answers: int | None = None
    """Requests that got other tokens than without the failure."""


class MoEDeploymentStatus(ApiModel):
    """What there is. The expert map lives on the MoEStages; this is their sum."""

    observed_generation: int = 0
    """The metadata.generation that this status is about."""
    replicas: int = 0
    """Pipelines that exist."""
    ready_replicas: int = 0
    """Pipelines that serve."""
    selector: str = ""
    """Label selector of the worker pods."""
    layout: str = ""
    """Degrees of the committed layout, e.g. EP16xPP16."""
    experts: str = ""
    """Ready and all experts, e.g. 256/256."""
    ready_experts: int = 0
    """Experts with a live host, over all replicas."""
    total_experts: int = 0
    """Experts of all replicas."""
    coverage: int = 0
    """The least number of live copies of any expert; 0 when one is lost."""
    gpus: str = ""
    """Serving and planned GPUs, e.g. 255/256."""
    reason: str = ""
    """The most important reason of the conditions, one word."""
    conclusion: str = ""
    """The plan in one line."""
    verification: list[VerificationStatus] = Field(default_factory=list)
    """The plan's verification in short; kubectl-moe plan shows the formulas."""
    drills: list[DrillStatus] = Field(default_factory=list)
    """The last drills, newest last."""
    conditions: list[Condition] = Field(default_factory=list)
    """Planned, Available, Progressing and Degraded; TargetsMet where targets are set, PlacesKnown where nodes are named
    in spec.failover.
    """


class MoEDeployment(ApiModel):
    """Serves a Mixture-of-Experts model over many GPUs and keeps every expert hosted when GPUs or nodes fail."""

    model_config = ConfigDict(json_schema_extra=rules.DEPLOYMENT)

    api_version: Literal["moe-operator.dev/v1alpha1"] = "moe-operator.dev/v1alpha1"
    kind: Literal["MoEDeployment"] = "MoEDeployment"
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: MoEDeploymentSpec
    """What is wanted."""
    status: MoEDeploymentStatus = Field(default_factory=MoEDeploymentStatus)
    """What there is."""

    @property
    def served_name(self) -> str:
        return self.spec.model.name or self.metadata.name
