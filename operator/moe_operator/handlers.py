"""kopf as the source of events: every handler marks the keys that an event concerns, and does nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from moe_api import names
from moe_operator.node_news import NodeNews
from moe_operator.queue import Key

Labels = Mapping[str, str]
Hear = Callable[[str | None, dict[str, Any]], None]
"""Of an event: its type and its object."""


def register(
    registry: kopf.OperatorRegistry,
    mark: Callable[[Key], None],
    mark_all: Callable[[], None],
    hear_pod: Hear,
    hear_node: Hear,
) -> None:
    """Hang the handlers into kopf's registry. `mark_all` has everything looked at once; `hear_pod` and `hear_node` are
    given every pod and node as an event shows it, before anything is marked for it.
    """
    nodes = NodeNews()

    @kopf.on.event(names.GROUP, names.VERSION, names.DEPLOYMENT_PLURAL, registry=registry)
    async def on_deployment(namespace: str | None, name: str | None, **_: Any) -> None:
        mark(Key(kind=names.DEPLOYMENT_KIND, namespace=namespace or "", name=name or ""))

    @kopf.on.event(names.GROUP, names.VERSION, names.STAGE_PLURAL, registry=registry)
    async def on_stage(namespace: str | None, labels: Labels, **_: Any) -> None:
        for key in keys_of_labels(namespace or "", labels):
            mark(key)

    @kopf.on.event("", "v1", "pods", registry=registry)
    async def on_pod(namespace: str | None, labels: Labels, event: Mapping[str, Any], **_: Any) -> None:
        hear_pod(event["type"], event["object"])
        # A worker's pod marks its stage alone, a gateway's, which may report on a drill, the deployment.
        for key in keys_of_labels(namespace or "", labels)[-1:]:
            mark(key)

    @kopf.on.event("apps", "v1", "deployments", registry=registry)
    async def on_gateway(namespace: str | None, labels: Labels, **_: Any) -> None:
        for key in keys_of_labels(namespace or "", labels):
            mark(key)

    @kopf.on.event("", "v1", "nodes", registry=registry)
    async def on_node(event: Mapping[str, Any], **_: Any) -> None:
        hear_node(event["type"], event["object"])
        if nodes.is_news(event["type"], event["object"]):
            mark_all()


def keys_of_labels(namespace: str, labels: Labels) -> list[Key]:
    """The deployment, and the stage if any, that an object's labels name."""
    deployment = labels.get(names.LABEL_DEPLOYMENT)
    if deployment is None:
        return []
    keys = [Key(kind=names.DEPLOYMENT_KIND, namespace=namespace, name=deployment)]
    replica, stage = labels.get(names.LABEL_REPLICA, ""), labels.get(names.LABEL_STAGE, "")
    if replica.isdigit() and stage.isdigit():
        name = names.stage_name(deployment, int(replica), int(stage))
        keys.append(Key(kind=names.STAGE_KIND, namespace=namespace, name=name))
    return keys
