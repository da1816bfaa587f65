"""What the command reads from a cluster, behind a small protocol; the one module that knows the API client."""

import json
from typing import Any, Protocol, TypeVar, cast

from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException
from pydantic import ValidationError
from urllib3.exceptions import HTTPError

from moe_api import names
from moe_api.deployment import MoEDeployment
from moe_api.stage import MoEStage
from moe_kubectl.errors import CommandError

_TIMEOUT_SECONDS = 30

Resource = TypeVar("Resource", MoEDeployment, MoEStage)


class Cluster(Protocol):
    """Raises CommandError when the cluster does not answer."""

    def deployments(self, namespace: str) -> list[MoEDeployment]: ...

    def stages(self, namespace: str, deployment: str) -> list[MoEStage]:
        """In order of replica and stage."""
        ...


class KubeCluster:
    """The cluster of the current kubeconfig."""

    def __init__(self, api: client.CustomObjectsApi) -> None:
        self._api = api

    def deployments(self, namespace: str) -> list[MoEDeployment]:
        return [_load(MoEDeployment, item) for item in self._list(namespace, names.DEPLOYMENT_PLURAL, "")]

    def stages(self, namespace: str, deployment: str) -> list[MoEStage]:
        items = self._list(namespace, names.STAGE_PLURAL, names.deployment_selector(deployment))
        return sorted((_load(MoEStage, item) for item in items), key=lambda s: (s.spec.replica, s.spec.stage))

    def _list(self, namespace: str, plural: str, selector: str) -> list[dict[str, Any]]:
        try:
            found = self._api.list_namespaced_custom_object(
                names.GROUP,
                names.VERSION,
                namespace,
                plural,
                label_selector=selector,
                _request_timeout=_TIMEOUT_SECONDS,
            )
        except client.ApiException as error:
            raise CommandError(_refusal(error, plural, namespace)) from error
        except HTTPError as error:
            raise CommandError(f"the API server does not answer ({error}); check the kubeconfig's server") from error
        return list(cast("dict[str, Any]", found)["items"])


def connect(kubeconfig: str | None, context: str | None) -> KubeCluster:
    """The cluster of `kubeconfig` (default: $KUBECONFIG, ~/.kube/config, then the pod's own service account)."""
    try:
        return KubeCluster(client.CustomObjectsApi(_api_client(kubeconfig, context)))
    except (ConfigException, OSError, ValueError) as error:
        raise CommandError(
            f"no cluster to talk to ({error}); set KUBECONFIG, or give --kubeconfig, e.g. $(moe-local kubeconfig)"
        ) from error


def current_namespace(kubeconfig: str | None, context: str | None) -> str:
    """The namespace of the kubeconfig's context, or "default"."""
    try:
        contexts, active = config.list_kube_config_contexts(kubeconfig)  # type: ignore[no-untyped-call]  # no types
    except (ConfigException, OSError):
        return "default"
    chosen = next((c for c in contexts if c["name"] == context), active) if context else active
    return str(chosen["context"].get("namespace", "default"))


def _api_client(kubeconfig: str | None, context: str | None) -> client.ApiClient:
    try:
        found = config.new_client_from_config(kubeconfig, context)  # type: ignore[no-untyped-call]  # no types
        return cast("client.ApiClient", found)
    except ConfigException:
        if kubeconfig or context:
            raise
        configuration = client.Configuration()
        config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]  # no types
        return client.ApiClient(configuration)


def _load(model: type[Resource], item: dict[str, Any]) -> Resource:
    try:
        return model.load(item)
    except ValidationError as error:
        name = item.get("metadata", {}).get("name", "")
        raise CommandError(
            f"{model.__name__} {name} is of another version than this command ({error.error_count()} fields differ); "
            "install the kubectl-moe that belongs to the operator"
        ) from error


def _refusal(error: client.ApiException, plural: str, namespace: str) -> str:
    try:
        message = str(json.loads(error.body or "{}").get("message", error.reason))
    except (ValueError, AttributeError):
        message = str(error.reason)
    if error.status == 404:
        return f"the cluster does not know {plural}.{names.GROUP}; install it with kubectl apply -f crds/"
    return f"the API server refuses to list {plural} in namespace {namespace}: {error.status} {message}"
