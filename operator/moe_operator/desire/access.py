"""Who may do what in a MoEDeployment's namespace: the data path's key, service accounts and role bindings."""

from __future__ import annotations

import base64

from moe_api import names
from moe_api.deployment import MoEDeployment
from moe_operator.api import Json
from moe_operator.desire.owner import metadata, owner_of


def secret(deployment: MoEDeployment, key: bytes) -> Json:
    """The key by which the deployment's own processes know each other: 32 random bytes, made once."""
    text = base64.urlsafe_b64encode(key)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(deployment, names.secret_name(deployment.metadata.name)),
        "type": "Opaque",
        "immutable": True,
        "data": {names.DATA_PATH_KEY: base64.b64encode(text).decode()},
    }


def access_objects(deployment: MoEDeployment) -> list[Json]:
    """The service accounts of workers and gateway, each bound to its cluster role in this namespace."""
    name = deployment.metadata.name
    accounts = (
        (names.worker_service_account(name), names.worker_role_binding(name), names.WORKER_CLUSTER_ROLE),
        (names.gateway_service_account(name), names.gateway_role_binding(name), names.GATEWAY_CLUSTER_ROLE),
    )
    return [
        built
        for account, binding, role in accounts
        for built in (_service_account(deployment, account), _role_binding(deployment, binding, account, role))
    ]


def _service_account(deployment: MoEDeployment, account: str) -> Json:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(deployment, account)}


def _role_binding(deployment: MoEDeployment, binding: str, account: str, role: str) -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": _metadata(deployment, binding),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": deployment.metadata.namespace}],
    }


def _metadata(deployment: MoEDeployment, name: str) -> Json:
    labels = names.deployment_labels(deployment.metadata.name)
    return metadata(deployment.metadata.namespace, name, labels, owner_of(deployment))
