"""MoEDeployment: what the user asks for, and the operator's summary of what there is."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from moe_api import names, rules
from moe_api.base import ApiModel, ObjectMeta, SpecModel
from moe_api.conditions import Condition
from moe_api.engine import EngineSpec, FailoverSpec
from moe_api.model import ModelSpec
from moe_api.quantity import Duration, Quantity


def _degree(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65536
    if not is_number and value != "auto":
        raise ValueError(f"{value!r} {rules.NO_DEGREE}")
    return value


Degree = Annotated[int | Literal["auto"], BeforeValidator(_degree)]


class Toleration(SpecModel):
    """A taint that the workers' pods tolerate, as in a pod's spec."""

    key: str | None = Field(default=None, max_length=316)
    """Key of the taint; empty with operator Exists for every taint."""
    operator: Literal["Exists", "Equal"] | None = None
    """Equal compares the value, Exists does not."""
    value: str | None = Field(default=None, max_length=63)
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; every effect when left out."""
    toleration_seconds: int | None = None
    """For how long a NoExecute taint is tolerated; for ever when left out."""


class HardwareSpec(SpecModel):
    """The GPU nodes that the deployment may use."""

    nodes: int = Field(ge=1, le=4096)
    """Nodes to plan for."""
    gpus_per_node: int = Field(ge=1, le=64)
    """GPUs of each node. A pod takes a whole node, or as many GPUs as a stage has ranks where that is fewer."""
    gpu_memory: Quantity
    """Memory of one GPU, e.g. 64Gi."""
    resource_name: str = Field(default=names.DEFAULT_RESOURCE_NAME, max_length=316, min_length=1)
    """Extended resource by which the pods ask for GPUs."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels that a node must have to run workers."""
    tolerations: list[Toleration] = Field(default_factory=list, max_length=64)
    """Taints that the workers tolerate, beside not-ready and unreachable, which they always do."""


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


class WorkloadSpec(SpecModel):
    """The load that the plan is made for."""

    model_config = ConfigDict(json_schema_extra=rules.WORKLOAD)

    batch_size: int = Field(default=32, ge=1, le=1048576)
    """Sequences that are served at the same time."""
    min_sequence_length: int = Field(default=1, ge=1, le=16777216)
    """Tokens of the shortest sequence."""
    max_sequence_length: int | None = Field(default=None, ge=1, le=16777216)
    """Tokens of the longest sequence; at most spec.engine.maxSequenceLength, and that when left out."""


class TargetsSpec(SpecModel):
    """What the deployment should reach. v1alpha1 does not judge targets yet; the condition TargetsMet says so."""

    time_to_first_token: Duration | None = None
    """Longest time from a request to its first token, e.g. 10s."""
    time_per_output_token: Duration | None = None
    """Longest time between two tokens of a sequence, e.g. 100ms."""


class ExpertsSpec(SpecModel):
    """How often each expert is hosted."""

    copies: int = Field(default=1, ge=1, le=64)
    """Copies of each expert, on different GPUs, and on different nodes where the stage has several."""


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
    conditions: list[Condition] = Field(default_factory=list)
    """Planned, Available, Progressing, Degraded and TargetsMet."""


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
