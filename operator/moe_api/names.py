"""Every Kubernetes name, label, annotation, condition type and reason, built and parsed in this one place."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

GROUP = "moe-operator.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FIELD_MANAGER = "moe-operator"

DEPLOYMENT_KIND, DEPLOYMENT_PLURAL, DEPLOYMENT_SHORT = "MoEDeployment", "moedeployments", "moed"
STAGE_KIND, STAGE_PLURAL, STAGE_SHORT = "MoEStage", "moestages", "moest"
CATEGORY = "moe"

LABEL_DEPLOYMENT = f"{GROUP}/deployment"
LABEL_REPLICA = f"{GROUP}/replica"
LABEL_STAGE = f"{GROUP}/stage"
LABEL_NODE_RANK = f"{GROUP}/node-rank"
# "true" on a worker pod that holds experts or lanes: what the stage's PodDisruptionBudget protects.
LABEL_HOLDING = f"{GROUP}/holding"
LABEL_APP_NAME = "app.kubernetes.io/name"
LABEL_APP_INSTANCE = "app.kubernetes.io/instance"
LABEL_APP_COMPONENT = "app.kubernetes.io/component"
LABEL_APP_MANAGED_BY = "app.kubernetes.io/managed-by"
ANNOTATION_REPORT = f"{GROUP}/report"
# On a MoEStage, read by the operator alone: the MoEDeployment spec it is for, its layout as planned, counted loads.
ANNOTATION_ACCEPTED = f"{GROUP}/accepted-spec"
ANNOTATION_HOME = f"{GROUP}/home-layout"
ANNOTATION_LOADS = f"{GROUP}/loads"
FINALIZER = f"{GROUP}/cleanup"

APP_NAME = "moe"
MANAGED_BY = "moe-operator"
OURS = {LABEL_APP_MANAGED_BY: MANAGED_BY}
"""What all our pods carry, and all that we own for a deployment."""
COMPONENT_WORKER = "worker"
COMPONENT_GATEWAY = "gateway"

WORKER_CLUSTER_ROLE = "moe-worker"
GATEWAY_CLUSTER_ROLE = "moe-gateway"
WORKER_CONTAINER = "worker"
GATEWAY_CONTAINER = "gateway"
DATA_PATH_KEY = "key"
GATEWAY_PORT_NAME = "http"
GATEWAY_PORT = 8000
WORKER_PROBE_PORT = 8080

MODEL_MOUNT = "/models"
SECRET_MOUNT = "/var/run/moe/secret"
API_KEYS_MOUNT = "/var/run/moe/api-keys"
STATE_MOUNT = "/var/run/moe/state"

DEFAULT_RESOURCE_NAME = "nvidia.com/gpu"

# Object names gain `-r<replica>-s<stage>-p<pod>-a<attempt>` and end as label values and host names: 63 characters.
MAX_DEPLOYMENT_NAME = 40


class ConditionType(StrEnum):
    PLANNED = "Planned"
    AVAILABLE = "Available"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    TARGETS_MET = "TargetsMet"
    PLACES_KNOWN = "PlacesKnown"


class Reason(StrEnum):
    """Reasons of conditions and events: one per cause, stable over releases."""

    LAYOUT_PLANNED = "LayoutPlanned"
    PLAN_REFUSED = "PlanRefused"
    NOT_SUPPORTED = "NotSupported"
    NOT_PLANNED = "NotPlanned"
    SPEC_CHANGE_REFUSED = "SpecChangeRefused"

    ALL_EXPERTS_READY = "AllExpertsReady"
    EXPERTS_STARTING = "ExpertsStarting"
    EXPERTS_LOST = "ExpertsLost"
    LANES_LOST = "LanesLost"
    GATEWAY_NOT_READY = "GatewayNotReady"

    STARTING = "Starting"
    COMPLETE = "Complete"
    WAITING_FOR_NODES = "WaitingForNodes"
    WAITING_FOR_PODS = "WaitingForPods"
    WAITING_FOR_WORKERS = "WaitingForWorkers"
    LOADING_EXPERTS = "LoadingExperts"
    LANES_DRAINING = "LanesDraining"
    STOPPED = "Stopped"
    DELETING = "Deleting"

    HEALTHY = "Healthy"
    RANK_MASKED = "RankMasked"
    COVERAGE_REDUCED = "CoverageReduced"
    POD_LOST = "PodLost"
    GPU_FAILED = "GPUFailed"
    GPU_HEALED = "GPUHealed"
    NODE_LOST = "NodeLost"
    RANK_RESTARTED = "RankRestarted"
    GPU_REPORTED_BAD = "GPUReportedBad"
    GPU_SLOW = "GPUSlow"
    GPU_FLAPPING = "GPUFlapping"
    HOST_SILENT = "HostSilent"
    NODE_CORDONED = "NodeCordoned"
    EVACUATING = "Evacuating"
    EVACUATED = "Evacuated"
    BREAKER_OPEN = "BreakerOpen"
    BREAKER_CLOSED = "BreakerClosed"
    QUARANTINE_CLEARED = "QuarantineCleared"
    COPY_ADDED = "CopyAdded"
    COPY_REMOVED = "CopyRemoved"
    REBALANCED = "Rebalanced"
    DRILL_STARTED = "DrillStarted"
    DRILL_PASSED = "DrillPassed"
    DRILL_FAILED = "DrillFailed"
    DRILL_REFUSED = "DrillRefused"
    TARGETS_HOLD = "TargetsHold"
    TARGETS_MISSED = "TargetsMissed"
    TARGETS_UNREACHABLE = "TargetsUnreachable"
    TARGETS_NOT_JUDGED = "TargetsNotJudged"
    PLACES_FOUND = "PlacesFound"
    UNKNOWN_PLACE = "UnknownPlace"

    WORKER_ERROR = "WorkerError"
    OWNER_CONFLICT = "OwnerConflict"

    EXPERT_REHOSTED = "ExpertRehosted"
    EXPERT_RETURNED = "ExpertReturned"
    LANE_MOVED = "LaneMoved"
    STAGE_CREATED = "StageCreated"
    STAGE_DELETED = "StageDeleted"
    POD_CREATED = "PodCreated"
    POD_DELETED = "PodDeleted"
    POD_REPLACED = "PodReplaced"


def stage_name(deployment: str, replica: int, stage: int) -> str:
    return f"{deployment}-r{replica}-s{stage:02d}"


def pod_name(stage: str, node_rank: int, attempt: int) -> str:
    """Name of a stage's pod; the attempt comes from observed objects, so a Terminating pod blocks nothing."""
    return f"{stage}-p{node_rank}-a{attempt}"


@dataclass(frozen=True, kw_only=True)
class StageName:
    deployment: str
    replica: int
    stage: int


@dataclass(frozen=True, kw_only=True)
class PodName:
    stage: str
    node_rank: int
    attempt: int


@lru_cache(maxsize=1024)
def parse_stage_name(name: str) -> StageName | None:
    match = re.fullmatch(r"(.+)-r(\d+)-s(\d{2,})", name)
    return StageName(deployment=match[1], replica=int(match[2]), stage=int(match[3])) if match else None


@lru_cache(maxsize=8192)  # asked for every seat of every pass, several times
def parse_pod_name(name: str) -> PodName | None:
    match = re.fullmatch(r"(.+)-p(\d+)-a(\d+)", name)
    return PodName(stage=match[1], node_rank=int(match[2]), attempt=int(match[3])) if match else None


def secret_name(deployment: str) -> str:
    return f"{deployment}-data-path"


def worker_service_account(deployment: str) -> str:
    return f"{deployment}-moe-worker"


def gateway_service_account(deployment: str) -> str:
    return f"{deployment}-moe-gateway"


def worker_role_binding(deployment: str) -> str:
    return f"{deployment}-moe-worker"


def gateway_role_binding(deployment: str) -> str:
    return f"{deployment}-moe-gateway"


def gateway_name(deployment: str) -> str:
    """Of the gateway's Deployment and of its Service."""
    return f"{deployment}-gateway"


def deployment_labels(deployment: str) -> dict[str, str]:
    """On everything that a MoEDeployment owns."""
    return {
        LABEL_DEPLOYMENT: deployment,
        LABEL_APP_NAME: APP_NAME,
        LABEL_APP_INSTANCE: deployment,
        **OURS,
    }


def stage_labels(deployment: str, replica: int, stage: int) -> dict[str, str]:
    """On a MoEStage."""
    return {
        **deployment_labels(deployment),
        LABEL_APP_COMPONENT: COMPONENT_WORKER,
        LABEL_REPLICA: str(replica),
        LABEL_STAGE: str(stage),
    }


def pod_labels(deployment: str, replica: int, stage: int, node_rank: int) -> dict[str, str]:
    """On a stage's pod."""
    return {**stage_labels(deployment, replica, stage), LABEL_NODE_RANK: str(node_rank)}


def holding_label(is_holding: bool) -> dict[str, str]:
    """On a stage's pod: whether its stage's PodDisruptionBudget protects it."""
    return {LABEL_HOLDING: "true" if is_holding else "false"}


def gateway_annotations() -> dict[str, str]:
    """Where a Prometheus that looks for annotations finds the metrics."""
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(GATEWAY_PORT),
        "prometheus.io/path": "/metrics",
    }


def gateway_labels(deployment: str) -> dict[str, str]:
    return {**deployment_labels(deployment), LABEL_APP_COMPONENT: COMPONENT_GATEWAY}


def deployment_selector(deployment: str) -> str:
    """Label selector of every object of one MoEDeployment."""
    return f"{LABEL_DEPLOYMENT}={deployment}"


def worker_selector(deployment: str) -> str:
    """Label selector of a MoEDeployment's worker pods; the scale subresource reports it."""
    return f"{LABEL_DEPLOYMENT}={deployment},{LABEL_APP_COMPONENT}={COMPONENT_WORKER}"


def stage_selector(deployment: str, replica: int, stage: int) -> str:
    """Label selector of one stage's pods."""
    return f"{LABEL_DEPLOYMENT}={deployment},{LABEL_REPLICA}={replica},{LABEL_STAGE}={stage}"
