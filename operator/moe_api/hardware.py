"""The GPU nodes that a MoEDeployment may use, and what their GPUs and links can do."""

from typing import Literal

from pydantic import ConfigDict, Field

from moe_api import names, rules
from moe_api.base import SpecModel
from moe_api.quantity import Duration, Quantity, Rate


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


class LinkSpec(SpecModel):
    """One GPU's way to others."""

    bandwidth: Rate
    """Bytes per second in one direction, e.g. 50G."""
    latency: Duration
    """Time for the first byte, e.g. 10us."""


class BadGpu(SpecModel):
    """A GPU that nothing may be placed on."""

    node: str = Field(min_length=1, max_length=253)
    """Name of its node."""
    gpu: int = Field(ge=0, le=63)
    """Its index on the node."""


class HardwareSpec(SpecModel):
    """The GPU nodes that the deployment may use."""

    model_config = ConfigDict(json_schema_extra=rules.HARDWARE)

    nodes: int = Field(ge=1, le=4096)
    """Nodes to plan for."""
    gpus_per_node: int = Field(ge=1, le=64)
    """GPUs of each node. A pod takes a whole node, or as many GPUs as a stage has ranks where that is fewer."""
    gpu_memory: Quantity | None = None
    """Memory of one GPU, e.g. 64Gi; that of the profile when left out."""
    profile: str | None = Field(default=None, min_length=1, max_length=63)
    """Name of ready figures, e.g. h100-sxm: memory, compute, bandwidths and links, as far as they are not given here.
    Without it, and without the figures, the plan predicts no times."""
    flops: Rate | None = None
    """Dense FLOP per second of one GPU in spec.model.dtype, e.g. 989T."""
    memory_bandwidth: Rate | None = None
    """Bytes per second that one GPU reads from its memory, e.g. 3.35T."""
    inside_node: LinkSpec | None = None
    """One GPU's way to the other GPUs of its node."""
    between_nodes: LinkSpec | None = None
    """One GPU's way to GPUs of other nodes."""
    flops_efficiency: float | None = Field(default=None, gt=0, le=1)
    """Share of `flops` that kernels reach; assumed to be 0.6 when left out."""
    bandwidth_efficiency: float | None = Field(default=None, gt=0, le=1)
    """Share of the bandwidths that is reached; assumed to be 0.8 when left out."""
    rack_label: str | None = Field(default=None, min_length=1, max_length=316)
    """Label of the nodes that names their rack; no racks are known when left out."""
    bad_gpus: list[BadGpu] | None = Field(default=None, max_length=4096)
    """GPUs that nothing may be placed on."""
    resource_name: str = Field(default=names.DEFAULT_RESOURCE_NAME, max_length=316, min_length=1)
    """Extended resource by which the pods ask for GPUs."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels that a node must have to run workers."""
    tolerations: list[Toleration] = Field(default_factory=list, max_length=64)
    """Taints that the workers tolerate, beside not-ready and unreachable, which they always do."""
