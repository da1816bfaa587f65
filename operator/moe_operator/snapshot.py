"""What one reconcile sees, complete and frozen. Plain values: no client, no decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from moe_api.deployment import MoEDeployment, MoEDeploymentSpec
from moe_api.drill import CanaryReport
from moe_api.report import Report, SeatReport
from moe_api.stage import MoEStage
from moe_operator.api import Json
from moe_planner.layout import StageLayout


@dataclass(frozen=True, kw_only=True)
class Pod:
    """One pod of a stage. `waiting` says what keeps it from being ready, "" when nothing is known.

    `unhealthy_devices` are the ids of its GPUs that the device plugin calls unhealthy.
    """

    name: str
    uid: str
    node_rank: int
    attempt: int
    node: str | None = None
    phase: str = "Pending"
    is_deleting: bool = False
    is_ready: bool = False
    is_holding: bool = False
    """Whether its label says that it holds experts or lanes."""
    waiting: str = ""
    unhealthy_devices: tuple[str, ...] = ()
    report: Report | None = None

    def seat(self, rank: int) -> SeatReport | None:
        return self.report.seat(rank) if self.report else None


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node, as far as it can cost a stage its pods or take one."""

    name: str
    is_ready: bool = True
    is_out_of_service: bool = False
    is_unschedulable: bool = False
    conditions: Mapping[str, str] = field(default_factory=dict)
    """Message of every condition that is True, by type."""
    taints: Mapping[str, str] = field(default_factory=dict)
    """Value of every taint, by key."""
    labels: Mapping[str, str] = field(default_factory=dict)
    capacity: Mapping[str, str] = field(default_factory=dict)
    allocatable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DeviceTaint:
    """A taint of a GPU that a driver for dynamic resource allocation offers, from its slice or from a rule.

    `uuid` is the GPU's own name, "" where the slice has none.
    """

    node: str
    driver: str
    device: str
    uuid: str
    key: str
    value: str
    effect: str


@dataclass(frozen=True, kw_only=True)
class StageSnapshot:
    """A MoEStage, its pods (all attempts), and every node by name. `raw` is the object as read.

    `others` are the worker pods of the replica's other stages: read only where the stage's own evidence asks for them
    (a silent peer, a GPU that has just failed), else empty. `siblings` are the deployment's other stages, read only
    where a pod is to be made.
    """

    stage: MoEStage
    raw: Json
    accepted: MoEDeploymentSpec
    home: StageLayout
    pods: tuple[Pod, ...]
    nodes: Mapping[str, Node]
    others: tuple[Pod, ...] = ()
    siblings: tuple[MoEStage, ...] = ()
    device_taints: tuple[DeviceTaint, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GatewayPod:
    """A gateway's pod, when its process began ("" where that is not known), and what it tells of a drill."""

    name: str
    is_ready: bool
    started: str = ""
    report: CanaryReport | None = None


@dataclass(frozen=True, kw_only=True)
class DeploymentSnapshot:
    """A MoEDeployment, its stages, its other objects as read (None where there is none) by kind and name, the nodes.

    `deployment` is None when the object does not fit the model; `invalid` says why. `gateways` are
    read for drills only.
    """

    raw: Json
    deployment: MoEDeployment | None
    invalid: str = ""
    stages: tuple[MoEStage, ...] = ()
    owned: Mapping[tuple[str, str], Json | None] = field(default_factory=dict)
    budgets: Mapping[str, Json] = field(default_factory=dict)
    """The namespace's PodDisruptionBudgets, by name."""
    nodes: tuple[Node, ...] = ()
    gateways: tuple[GatewayPod, ...] = ()
