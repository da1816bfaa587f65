"""Reads what one reconcile needs and turns it into a snapshot: complete, or an error.

What a pass writes is read anew by it; only lists of the whole cluster may be those of a moment ago (shared_lists), or
what events have made of them (followed_list).

What only few decisions need is read only when the rest says so: the replica's other pods and stages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from moe_api import names
from moe_api.deployment import MoEDeployment
from moe_api.notes import accepted_spec, home_layout
from moe_api.stage import MoEStage
from moe_operator import errors, resources
from moe_operator.api import Api, Json, Resource
from moe_operator.desire.owner import is_owned_by
from moe_operator.device_taints import read_device_taints
from moe_operator.reading import explain, read_gateway, read_node, read_other_pods, read_pods
from moe_operator.snapshot import DeploymentSnapshot, DeviceTaint, GatewayPod, Pod, StageSnapshot


async def observe_stage(api: Api, namespace: str, name: str) -> StageSnapshot | None:
    """The stage with its pods and all nodes; None when the stage is gone or going."""
    parsed = names.parse_stage_name(name)
    if parsed is None:
        return None
    labels = names.stage_labels(parsed.deployment, parsed.replica, parsed.stage)
    seen, nodes, taints = await asyncio.gather(
        _stage_and_pods(api, namespace, name, labels),
        api.list_objects(resources.NODES, None, {}),
        _device_taints(api),
    )
    if seen is None:
        return None
    raw, stage = seen.raw, seen.stage
    return StageSnapshot(
        stage=stage,
        raw=raw,
        accepted=accepted_spec(stage),
        home=home_layout(stage),
        pods=seen.pods,
        nodes={node.name: node for node in map(read_node, nodes)},
        others=seen.others,
        siblings=seen.siblings,
        device_taints=taints,
    )


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """A stage, and what its own pods' reports made it necessary to read beside them."""

    raw: Json
    stage: MoEStage
    pods: tuple[Pod, ...]
    others: tuple[Pod, ...]
    siblings: tuple[MoEStage, ...]


async def _stage_and_pods(api: Api, namespace: str, name: str, labels: Mapping[str, str]) -> _Seen | None:
    """What hangs together, read while the nodes are: streams wait for the whole of it."""
    raw, pods = await asyncio.gather(
        _get(api, resources.STAGES, namespace, name),
        api.list_objects(resources.PODS, namespace, _selecting(labels)),
    )
    if raw is None or raw["metadata"].get("deletionTimestamp"):
        return None
    stage, own_pods = MoEStage.load(raw), read_pods(pods, raw["metadata"]["uid"])
    others, siblings = await asyncio.gather(_others(api, stage, own_pods), _siblings(api, stage, own_pods))
    return _Seen(raw=raw, stage=stage, pods=own_pods, others=others, siblings=siblings)


async def observe_deployment(api: Api, namespace: str, name: str) -> DeploymentSnapshot | None:
    """The MoEDeployment, its stages, its other objects and the nodes; None when it is gone or going."""
    raw, stages, nodes, owned, budgets = await asyncio.gather(
        _get(api, resources.DEPLOYMENTS, namespace, name),
        api.list_objects(resources.STAGES, namespace, {names.LABEL_DEPLOYMENT: name}),
        api.list_objects(resources.NODES, None, {}),
        _owned(api, namespace, name),
        api.list_objects(resources.BUDGETS, namespace, {}),
    )
    if raw is None or raw["metadata"].get("deletionTimestamp"):
        return None
    try:
        deployment, invalid = MoEDeployment.load(raw), ""
    except ValidationError as error:
        deployment, invalid = None, explain(error)
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
        budgets={budget["metadata"]["name"]: budget for budget in budgets},
        nodes=tuple(map(read_node, nodes)),
    )


async def _device_taints(api: Api) -> tuple[DeviceTaint, ...]:
    """What drivers for dynamic resource allocation, and rules about their devices, say of GPUs; nothing without any."""
    slices = await _list_if_served(api, resources.RESOURCE_SLICES)
    return read_device_taints(slices, await _list_if_served(api, resources.TAINT_RULES)) if slices else ()


async def _list_if_served(api: Api, resource: Resource) -> list[Json]:
    """Nothing from an API server that does not have the kind yet, or does not let the operator see it: a sign more of
    bad GPUs is welcome, and no condition of serving.
    """
    try:
        return await api.list_objects(resource, None, {})
    except (errors.NotFound, errors.Denied):
        return []


async def _others(api: Api, stage: MoEStage, pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """The pods of the replica's other stages, where a complaint or a failure of the stage's own has to be weighed."""
    spec = stage.spec
    masked = {mask.rank for mask in spec.masked}
    reports = [pod.report for pod in pods if pod.report]
    failed = {seat.rank for report in reports for seat in report.seats if seat.is_failed}
    if spec.paused is None and failed <= masked and not any(report.unreachable for report in reports):
        return ()
    return read_other_pods(await api.list_objects(resources.PODS, None, names.OURS), stage)


async def _siblings(api: Api, stage: MoEStage, pods: Iterable[Pod]) -> tuple[MoEStage, ...]:
    """The deployment's other stages, where a pod is to be made: it should avoid the nodes that failed them."""
    living = {pod.name for pod in pods if not pod.is_deleting and pod.phase in ("Pending", "Running")}
    if all(seat.pod in living for seat in stage.spec.ranks):
        return ()
    labels = {names.LABEL_DEPLOYMENT: stage.spec.deployment}
    found = await api.list_objects(resources.STAGES, stage.metadata.namespace, labels)
    return tuple(MoEStage.load(raw) for raw in found if raw["metadata"]["name"] != stage.metadata.name)


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
    return tuple(sorted(map(read_gateway, living), key=lambda gateway: gateway.name))


async def _get(api: Api, resource: Resource, namespace: str, name: str) -> Json | None:
    try:
        return await api.get(resource, namespace, name)
    except errors.NotFound:
        return None


def _selecting(labels: Mapping[str, str]) -> Mapping[str, str]:
    keys = (names.LABEL_DEPLOYMENT, names.LABEL_REPLICA, names.LABEL_STAGE)
    return {key: labels[key] for key in keys}
