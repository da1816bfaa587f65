"""Metadata of what the operator owns; the garbage collector follows the owner references."""

from __future__ import annotations

from collections.abc import Mapping

from moe_api.deployment import MoEDeployment
from moe_api.stage import MoEStage
from moe_operator.api import Json


def owner_of(owner: MoEDeployment | MoEStage) -> Json:
    """The controller reference to an owner."""
    return {
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def metadata(
    namespace: str, name: str, labels: Mapping[str, str], owner: Json, annotations: Mapping[str, str] | None = None
) -> Json:
    """Name, labels, annotations where there are any, and one owner."""
    built: Json = {"name": name, "namespace": namespace, "labels": dict(labels), "ownerReferences": [owner]}
    if annotations:
        built["annotations"] = dict(annotations)
    return built


def is_owned_by(observed: Json, uid: str) -> bool:
    """Whether an observed object has the owner as its controller."""
    references = observed["metadata"].get("ownerReferences", [])
    return any(reference["uid"] == uid and reference.get("controller") for reference in references)
