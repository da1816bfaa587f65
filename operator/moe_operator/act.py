"""Carries decisions out: guarded writes, independent ones at the same time. Decides nothing."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

from moe_api import names
from moe_api.deployment import MoEDeployment
from moe_api.stage import MoEStage, MoEStageSpec
from moe_operator import errors, resources
from moe_operator.api import Api, Json, Resource
from moe_operator.decide.actions import CreatePod, DeletePod, DeploymentDecision, MarkPod, StageDecision
from moe_operator.desire.access import secret
from moe_operator.desire.pods import pod
from moe_operator.desire.settings import Images
from moe_operator.snapshot import DeploymentSnapshot, StageSnapshot

KEY_BYTES = 32


async def act_on_stage(api: Api, snapshot: StageSnapshot, decision: StageDecision, images: Images) -> Json:
    """Commit, and create and delete pods; returns the stage as it is after the commit."""
    writes: list[Coroutine[Any, Any, Any]] = [_create(api, snapshot, create, images) for create in decision.creates]
    writes += [_delete(api, snapshot, delete) for delete in decision.deletes]
    writes += [_mark(api, snapshot, mark) for mark in decision.marks]
    committed, *_ = await _all([_commit(api, snapshot.raw, decision.commit, decision.notes), *writes])
    raw: Json = committed
    return raw


async def act_on_deployment(api: Api, snapshot: DeploymentSnapshot, decision: DeploymentDecision) -> None:
    """Access before stages, because their pods need it; deletions of removed replicas at the end."""
    if decision.needs_secret and snapshot.deployment is not None:
        await api.create(resources.SECRETS, _new_secret(snapshot.deployment))
    await _all(api.apply(resources.by_kind(body["kind"]), body) for body in decision.applies)
    await _all(api.create(resources.STAGES, body) for body in decision.new_stages)
    await _all(_commit(api, _as_read(stage), spec) for stage, spec in decision.commits)
    await _all(_delete_stage(api, stage) for stage in decision.deletes)


async def write_status(api: Api, resource: Resource, raw: Json, status: Json) -> None:
    """Write the status if it differs from the one that was read."""
    if raw.get("status") != status:
        await api.replace_status(resource, _without_managed_fields(raw) | {"status": status})


async def _all(writes: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """All at once; when some fail the others still finish, and the first failure is raised."""
    done = await asyncio.gather(*writes, return_exceptions=True)
    for result in done:
        if isinstance(result, BaseException):
            raise result
    return done


async def _commit(api: Api, raw: Json, spec: MoEStageSpec | None, notes: Mapping[str, str] | None = None) -> Json:
    """Put the next spec and the notes in, at the resourceVersion that was read."""
    if spec is None and not notes:
        return raw
    body = _without_managed_fields(raw)
    if notes:
        body["metadata"]["annotations"] = body["metadata"].get("annotations", {}) | dict(notes)
    if spec is not None:
        body["spec"] = spec.dump()
    return await api.replace(resources.STAGES, body)


async def _create(api: Api, snapshot: StageSnapshot, create: CreatePod, images: Images) -> None:
    body = pod(
        snapshot.stage,
        snapshot.accepted,
        images,
        node_rank=create.node_rank,
        attempt=create.attempt,
        avoid=create.avoid,
        is_holding=create.is_holding,
    )
    await api.create(resources.PODS, body)


async def _mark(api: Api, snapshot: StageSnapshot, mark: MarkPod) -> None:
    """Only this one label, and only of this one pod: by its uid nothing is made anew that has gone meanwhile."""
    metadata = {
        "name": mark.name,
        "namespace": snapshot.stage.metadata.namespace,
        "uid": mark.uid,
        "labels": names.holding_label(mark.is_holding),
    }
    try:
        await api.apply(resources.PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata})
    except (errors.NotFound, errors.Conflict):
        return  # It is gone, and with it what there was to protect.


async def _delete(api: Api, snapshot: StageSnapshot, delete: DeletePod) -> None:
    try:
        namespace = snapshot.stage.metadata.namespace
        await api.delete(resources.PODS, namespace, delete.name, delete.uid, force=delete.force)
    except errors.NotFound:
        return  # Somebody else was faster; gone is what was wanted.


async def _delete_stage(api: Api, stage: MoEStage) -> None:
    if stage.metadata.is_deleting:
        return
    try:
        await api.delete(resources.STAGES, stage.metadata.namespace, stage.metadata.name, stage.metadata.uid)
    except errors.NotFound:
        return


def _new_secret(deployment: MoEDeployment) -> Json:
    return secret(deployment, secrets.token_bytes(KEY_BYTES))


def _as_read(stage: MoEStage) -> Json:
    return stage.dump()


def _without_managed_fields(raw: Json) -> Json:
    """The API server keeps them when they are left out; sending them back would only cost."""
    metadata = {key: value for key, value in raw["metadata"].items() if key != "managedFields"}
    return raw | {"metadata": metadata}
