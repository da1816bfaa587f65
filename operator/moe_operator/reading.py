"""From objects as the API server gives them to the values of a snapshot. Tolerates what is missing; judges nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from moe_api import names
from moe_api.drill import CanaryReport
from moe_api.report import Report
from moe_api.stage import MoEStage
from moe_operator.api import Json
from moe_operator.desire.owner import is_owned_by
from moe_operator.snapshot import GatewayPod, Node, Pod

OUT_OF_SERVICE_TAINT = "node.kubernetes.io/out-of-service"


def read_pods(raw_pods: Iterable[Json], stage_uid: str) -> tuple[Pod, ...]:
    """The pods that the stage owns; another's pods with our labels are none of ours."""
    owned = (_read_pod(raw) for raw in raw_pods if is_owned_by(raw, stage_uid))
    return tuple(sorted((pod for pod in owned if pod is not None), key=lambda pod: (pod.node_rank, pod.attempt)))


def read_other_pods(raw_pods: Iterable[Json], stage: MoEStage) -> tuple[Pod, ...]:
    """The living pods of the replica's other stages, each by its own name; their reports are their own words."""
    replica = {names.LABEL_DEPLOYMENT: stage.spec.deployment, names.LABEL_REPLICA: str(stage.spec.replica)}
    living = (raw for raw in raw_pods if _is_of(raw, stage, replica) and "deletionTimestamp" not in raw["metadata"])
    pods = [pod for pod in map(_read_pod, living) if pod is not None and pod.phase == "Running"]
    return tuple(sorted(pods, key=lambda pod: pod.name))


def _is_of(raw: Json, stage: MoEStage, replica: Mapping[str, str]) -> bool:
    """Whether it is a pod of this replica, and not of this stage."""
    metadata, own = raw["metadata"], (names.LABEL_STAGE, str(stage.spec.stage))
    labels = metadata.get("labels", {}).items()
    return metadata["namespace"] == stage.metadata.namespace and replica.items() <= labels and own not in labels


def read_node(raw: Json) -> Node:
    """The few facts about a node that matter here."""
    spec, status, metadata = raw.get("spec", {}), raw.get("status", {}), raw["metadata"]
    taints = {taint["key"]: taint.get("value") or "" for taint in spec.get("taints") or ()}
    return Node(
        name=metadata["name"],
        is_ready=_has_condition(status, "Ready"),
        is_out_of_service=OUT_OF_SERVICE_TAINT in taints,
        is_unschedulable=bool(spec.get("unschedulable")),
        conditions={c["type"]: c.get("message") or "" for c in _conditions(status) if c["status"] == "True"},
        taints=taints,
        labels=metadata.get("labels", {}),
        capacity=status.get("capacity", {}),
        allocatable=status.get("allocatable", {}),
    )


def read_gateway(raw: Json) -> GatewayPod:
    """A gateway's pod and its words."""
    metadata = raw["metadata"]
    text = metadata.get("annotations", {}).get(names.ANNOTATION_REPORT)
    status = raw.get("status", {})
    running = [container.get("state", {}).get("running") or {} for container in status.get("containerStatuses") or ()]
    return GatewayPod(
        name=metadata["name"],
        is_ready=_has_condition(status, "Ready"),
        started=max((str(state.get("startedAt", "")) for state in running), default=""),
        report=_canary_report(text),
    )


def explain(error: ValidationError) -> str:
    """The first finding, as field and message."""
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def _read_pod(raw: Json) -> Pod | None:
    metadata, spec, status = raw["metadata"], raw["spec"], raw.get("status", {})
    parsed = names.parse_pod_name(metadata["name"])
    if parsed is None:
        return None
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        node_rank=parsed.node_rank,
        attempt=parsed.attempt,
        node=spec.get("nodeName"),
        phase=status.get("phase", "Pending"),
        is_deleting="deletionTimestamp" in metadata,
        is_ready=_has_condition(status, "Ready"),
        is_holding=metadata.get("labels", {}).get(names.LABEL_HOLDING) == "true",
        waiting=_waiting(status),
        unhealthy_devices=_unhealthy_devices(status),
        report=_report(metadata.get("annotations", {}).get(names.ANNOTATION_REPORT)),
    )


def _unhealthy_devices(status: Json) -> tuple[str, ...]:
    """As the kubelet passes on the device plugin's word (KEP-4680)."""
    return tuple(
        device["resourceID"]
        for container in status.get("containerStatuses") or ()
        for resource in container.get("allocatedResourcesStatus") or ()
        for device in resource.get("resources") or ()
        if device.get("health") == "Unhealthy"
    )


def _report(text: str | None) -> Report | None:
    if text is None:
        return None
    try:
        return Report.from_json(text)
    except ValidationError as error:
        return Report(error=f"the worker's report cannot be read ({explain(error)}); worker and operator must match")


def _canary_report(text: str | None) -> CanaryReport | None:
    """What cannot be read is as if it had not been said; the drill ends for want of words."""
    try:
        return CanaryReport.from_json(text) if text is not None else None
    except ValidationError:
        return None


def _waiting(status: Json) -> str:
    """Why the pod is not running: the scheduler's words, else the container's."""
    for condition in _conditions(status):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason', 'Unscheduled')}: {condition.get('message', '')}".rstrip(": ")
    for container in status.get("containerStatuses") or ():
        waiting: Mapping[str, Any] = container.get("state", {}).get("waiting") or {}
        if waiting:
            return f"{waiting.get('reason', 'Waiting')}: {waiting.get('message', '')}".rstrip(": ")
    return ""


def _has_condition(status: Json, kind: str) -> bool:
    return any(c["type"] == kind and c["status"] == "True" for c in _conditions(status))


def _conditions(status: Json) -> Iterable[Json]:
    return status.get("conditions") or ()
