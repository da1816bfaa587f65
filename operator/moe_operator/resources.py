"""The kinds that the operator reads and writes, as the API server addresses them."""

from __future__ import annotations

from moe_api import names
from moe_operator.api import Resource

DEPLOYMENTS = Resource(
    group=names.GROUP, version=names.VERSION, plural=names.DEPLOYMENT_PLURAL, kind=names.DEPLOYMENT_KIND
)
STAGES = Resource(group=names.GROUP, version=names.VERSION, plural=names.STAGE_PLURAL, kind=names.STAGE_KIND)
PODS = Resource(group="", version="v1", plural="pods", kind="Pod")
NODES = Resource(group="", version="v1", plural="nodes", kind="Node", namespaced=False)
SECRETS = Resource(group="", version="v1", plural="secrets", kind="Secret")
SERVICES = Resource(group="", version="v1", plural="services", kind="Service")
SERVICE_ACCOUNTS = Resource(group="", version="v1", plural="serviceaccounts", kind="ServiceAccount")
EVENTS = Resource(group="", version="v1", plural="events", kind="Event")
GATEWAYS = Resource(group="apps", version="v1", plural="deployments", kind="Deployment")
ROLE_BINDINGS = Resource(group="rbac.authorization.k8s.io", version="v1", plural="rolebindings", kind="RoleBinding")
BUDGETS = Resource(group="policy", version="v1", plural="poddisruptionbudgets", kind="PodDisruptionBudget")
RESOURCE_SLICES = Resource(
    group="resource.k8s.io", version="v1", plural="resourceslices", kind="ResourceSlice", namespaced=False
)
TAINT_RULES = Resource(
    group="resource.k8s.io", version="v1beta2", plural="devicetaintrules", kind="DeviceTaintRule", namespaced=False
)

OWNED = (SERVICE_ACCOUNTS, ROLE_BINDINGS, GATEWAYS, SERVICES, BUDGETS)


def by_kind(kind: str) -> Resource:
    """The resource of an owned object's kind."""
    return next(resource for resource in OWNED if resource.kind == kind)
