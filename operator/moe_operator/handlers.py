"""kopf as the source of events: every handler marks the keys that an event concerns, and does nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import kopf
from moe_api import names

from moe_operator.queue import DirtyQueue, Key

Labels = Mapping[str, str]
OUT_OF_SERVICE_TAINT = "node.kubernetes.io/out-of-service"


def deployment_key(namespace: str, name: str) -> Key:
    return Key(kind=names.DEPLOYMENT_KIND, namespace=namespace, name=name)


def stage_key(namespace: str, name: str) -> Key:
    return Key(kind=names.STAGE_KIND, namespace=namespace, name=name)


def register(registry: kopf.OperatorRegistry, queue: DirtyQueue, mark_all: kopf.typedefs.Any) -> None:
    """Hang the handlers into kopf's registry. `mark_all` marks every key that is in need of a look."""


def keys_of_labels(namespace: str, labels: Labels) -> list[Key]:
    """The stage and the deployment that an object's labels name."""
    deployment = labels.get(names.LABEL_DEPLOYMENT)
    if deployment is None:
        return []
    keys = [deployment_key(namespace, deployment)]
    replica, stage = labels.get(names.LABEL_REPLICA), labels.get(names.LABEL_STAGE)
    if replica is not None and stage is not None:
        keys.append(stage_key(namespace, names.stage_name(deployment, int(replica), int(stage))))
    return keys


def concerns_pods(event_type: str | None, node: Mapping[str, Any]) -> bool:
    """Whether a node's event can cost a stage its pods: it is gone, or a person declared it out of service."""
    taints = node.get("spec", {}).get("taints", [])
    return event_type == "DELETED" or any(taint["key"] == OUT_OF_SERVICE_TAINT for taint in taints)
