"""Reads what one reconcile needs and turns it into a snapshot: complete, or an error; never from a cache."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from moe_api import names
from moe_api.deployment import MoEDeployment
from moe_api.drill import CanaryReport
from moe_api.notes import accepted_spec, home_layout
from moe_api.report import Report
from moe_api.stage import MoEStage
from moe_operator import errors, resources
from moe_operator.api import Api, Json, Resource
from moe_operator.desire.owner import is_owned_by
from moe_operator.handlers import OUT_OF_SERVICE_TAINT
from moe_operator.snapshot import DeploymentSnapshot, GatewayPod, Node, Pod, StageSnapshot


async def observe_stage(api: Api, namespace: str, name: str) -> StageSnapshot | None:
    """The stage with its pods and all nodes; None when the stage is gone or going."""
    parsed = names.parse_stage_name(name)
    if parsed is None:
        return None
    labels = names.stage_labels(parsed.deployment, parsed.replica, parsed.stage)
    raw, pods, nodes = await asyncio.gather(
        _get(api, resources.STAGES, namespace, name),
        api.list_objects(resources.PODS, namespace, _selecting(labels)),
        api.list_objects(resources.NODES, None, {}),
    )
    if raw is None or raw["metadata"].get("deletionTimestamp"):
        return None
    stage = MoEStage.load(raw)
    return StageSnapshot(
        stage=stage,
        raw=raw,
        accepted=accepted_spec(stage),
        home=home_layout(stage),
        pods=read_pods(pods, stage.metadata.uid),
        nodes={node.name: node for node in map(read_node, nodes)},
    )


async def observe_deployment(api: Api, namespace: str, name: str) -> DeploymentSnapshot | None:
    """The MoEDeployment, its stages, its other objects and the nodes; None when it is gone or going."""
    raw, stages, nodes, owned = await asyncio.gather(
        _get(api, resources.DEPLOYMENTS, namespace, name),
        api.list_objects(resources.STAGES, namespace, {names.LABEL_DEPLOYMENT: name}),
        api.list_objects(resources.NODES, None, {}),
        _owned(api, namespace, name),
    )
    if raw is None or raw["metadata"].get("deletionTimestamp"):
        return None
    try:
        deployment, invalid = MoEDeployment.load(raw), ""
    except ValidationError as error:
        deployment, invalid = None, _explain(error)
    own_stages = _own_stages(stages, raw["metadata"]["uid"])
    is_drilling = any(stage.spec.rehearsal is not None for stage in own_stages)
    may_drill = is_drilling or (deployment is not None and deployment.spec.failover.drill is not None)
    return DeploymentSnapshot(
        raw=raw,
        deployment=deployment,
        invalid=invalid,
        stages=own_stages,
        gateways=await _gateways(api, namespace, name) if may_drill else (),
        owned=owned,
        nodes=tuple(map(read_node, nodes)),
    )


def read_pods(raw_pods: Iterable[Json], stage_uid: str) -> tuple[Pod, ...]:
    """The pods that the stage owns; another's pods with our labels are none of ours."""
    owned = (_read_pod(raw) for raw in raw_pods if is_owned_by(raw, stage_uid))
    return tuple(sorted((pod for pod in owned if pod is not None), key=lambda pod: (pod.node_rank, pod.attempt)))


def read_node(raw: Json) -> Node:
    """The few facts about a node that matter here."""
    spec, status, metadata = raw.get("spec", {}), raw.get("status", {}), raw["metadata"]
    return Node(
        name=metadata["name"],
        is_ready=_has_condition(status, "Ready"),
        is_out_of_service=any(taint["key"] == OUT_OF_SERVICE_TAINT for taint in spec.get("taints") or ()),
        is_unschedulable=bool(spec.get("unschedulable")),
        labels=metadata.get("labels", {}),
        allocatable=status.get("allocatable", {}),
    )


def _own_stages(raw_stages: Iterable[Json], uid: str) -> tuple[MoEStage, ...]:
    stages = [MoEStage.load(raw) for raw in raw_stages if is_owned_by(raw, uid)]
    return tuple(sorted(stages, key=lambda stage: (stage.spec.replica, stage.spec.stage)))


async def _owned(api: Api, namespace: str, name: str) -> Mapping[tuple[str, str], Json | None]:
    wanted = (
        (resources.SECRETS, names.secret_name(name)),
        (resources.SERVICE_ACCOUNTS, names.worker_service_account(name)),
        (resources.SERVICE_ACCOUNTS, names.gateway_service_account(name)),
        (resources.ROLE_BINDINGS, names.worker_role_binding(name)),
        (resources.ROLE_BINDINGS, names.gateway_role_binding(name)),
        (resources.GATEWAYS, names.gateway_name(name)),
        (resources.SERVICES, names.gateway_name(name)),
    )
    found = await asyncio.gather(*(_get(api, resource, namespace, object_name) for resource, object_name in wanted))
    return {(resource.kind, object_name): raw for (resource, object_name), raw in zip(wanted, found, strict=True)}


async def _gateways(api: Api, namespace: str, name: str) -> tuple[GatewayPod, ...]:
    """The gateway's pods that are not on their way out, by name."""
    labels = {names.LABEL_DEPLOYMENT: name, names.LABEL_APP_COMPONENT: names.COMPONENT_GATEWAY}
    pods = await api.list_objects(resources.PODS, namespace, labels)
    living = (raw for raw in pods if "deletionTimestamp" not in raw["metadata"])
    return tuple(sorted(map(_read_gateway, living), key=lambda gateway: gateway.name))


def _read_gateway(raw: Json) -> GatewayPod:
    metadata = raw["metadata"]
    text = metadata.get("annotations", {}).get(names.ANNOTATION_REPORT)
    is_ready = _has_condition(raw.get("status", {}), "Ready")
    return GatewayPod(name=metadata["name"], is_ready=is_ready, report=_canary_report(text))


def _canary_report(text: str | None) -> CanaryReport | None:
    """What cannot be read is as if it had not been said; the drill ends for want of words."""
    try:
        return CanaryReport.from_json(text) if text is not None else None
    except ValidationError:
        return None


async def _get(api: Api, resource: Resource, namespace: str, name: str) -> Json | None:
    try:
        return await api.get(resource, namespace, name)
    except errors.NotFound:
        return None


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
        waiting=_waiting(status),
        report=_report(metadata.get("annotations", {}).get(names.ANNOTATION_REPORT)),
    )


def _report(text: str | None) -> Report | None:
    if text is None:
        return None
    try:
        return Report.from_json(text)
    except ValidationError as error:
        return Report(error=f"the worker's report cannot be read ({_explain(error)}); worker and operator must match")


def _waiting(status: Json) -> str:
    """Why the pod is not running: the scheduler's words, else the container's."""
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason', 'Unscheduled')}: {condition.get('message', '')}".rstrip(": ")
    for container in status.get("containerStatuses") or ():
        waiting: dict[str, Any] = container.get("state", {}).get("waiting") or {}
        if waiting:
            return f"{waiting.get('reason', 'Waiting')}: {waiting.get('message', '')}".rstrip(": ")
    return ""


def _has_condition(status: Json, kind: str) -> bool:
    return any(c["type"] == kind and c["status"] == "True" for c in status.get("conditions") or ())


def _selecting(labels: Mapping[str, str]) -> Mapping[str, str]:
    keys = (names.LABEL_DEPLOYMENT, names.LABEL_REPLICA, names.LABEL_STAGE)
    return {key: labels[key] for key in keys}


def _explain(error: ValidationError) -> str:
    """The first finding, as field and message."""
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
