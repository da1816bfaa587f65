"""The one module that talks to the API server, and the small interface the rest of the operator sees of it.

Objects are plain JSON here; `observe` turns them into models. Foreign exceptions become those of `errors`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
from kubernetes.aio import client, config

from moe_operator import errors
from moe_operator.followed_list import FollowedList
from moe_operator.shared_lists import SharedLists

Json = dict[str, Any]
FIELD_MANAGER = "moe-operator"
REQUEST_TIMEOUT_SECONDS = 30.0
CONNECTIONS = 200


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A kind as the API server addresses it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, or of one object of it."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return root + scope + "".join(f"/{part}" for part in (self.plural, name, subresource) if part)


class Api(Protocol):
    """Reads and guarded writes. Every method raises `errors.ApiError` or one of its kinds."""

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Json:
        """One object; NotFound when there is none."""

    async def list_objects(self, resource: Resource, namespace: str | None, labels: Mapping[str, str]) -> list[Json]:
        """All objects that carry the labels, complete or an error; of all namespaces when namespace is None."""

    async def create(self, resource: Resource, body: Json) -> Json:
        """Conflict when the name is taken."""

    async def apply(self, resource: Resource, body: Json) -> Json:
        """Server-side apply of an object that is ours."""

    async def replace(self, resource: Resource, body: Json) -> Json:
        """Replace the object at the resourceVersion that the body carries; Conflict when it has moved on."""

    async def replace_status(self, resource: Resource, body: Json) -> Json:
        """The same for the status subresource; nothing but the status is looked at."""

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str, force: bool = False) -> None:
        """Delete the object if it still has this uid; with force, without waiting for its node."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Where the API server is and as whom we talk to it; a token is short-lived and must be asked for anew."""

    server: str
    ca_path: str | None
    is_verified: bool
    scheme: str
    token: str
    certificate_path: str | None
    private_key_path: str | None


class KubernetesApi:
    """`Api` over the official client. One connection pool; requests time out after 30 s. Lists of a whole cluster may
    be given again, as `lists` says, or be `followed`.
    """

    def __init__(
        self, api_client: client.ApiClient, lists: SharedLists, followed: Mapping[Resource, FollowedList]
    ) -> None:
        self._client = api_client
        self._lists = lists
        self._followed = followed

    @classmethod
    async def connect(
        cls, environ: Mapping[str, str], lists: SharedLists, followed: Mapping[Resource, FollowedList]
    ) -> KubernetesApi:
        """With the service account when in a pod, else with the kubeconfig that KUBECONFIG names (or the usual one)."""
        configuration = client.Configuration()
        if "KUBERNETES_SERVICE_HOST" in environ and "KUBECONFIG" not in environ:
            config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]  # the client is untyped
        else:
            path = environ.get("KUBECONFIG", config.KUBE_CONFIG_DEFAULT_LOCATION)
            await config.load_kube_config(path, None, configuration)  # type: ignore[no-untyped-call]  # the same
        configuration.connection_pool_maxsize = CONNECTIONS
        return cls(client.ApiClient(configuration), lists, followed)

    def identity(self) -> Identity:
        """The identity as it is now: a service account's token is read again, because it is rotated."""
        configuration = self._client.configuration
        if configuration.refresh_api_key_hook is not None:
            configuration.refresh_api_key_hook(configuration)
        scheme, _, token = str(configuration.api_key.get("BearerToken", "")).partition(" ")
        return Identity(
            server=str(configuration.host),
            ca_path=configuration.ssl_ca_cert,
            is_verified=bool(configuration.verify_ssl),
            scheme=scheme.capitalize(),
            token=token,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
        )

    async def close(self) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]  # the client is untyped

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Json:
        return await self._request("GET", resource.path(namespace, name))

    async def list_objects(self, resource: Resource, namespace: str | None, labels: Mapping[str, str]) -> list[Json]:
        followed = self._followed.get(resource)
        if namespace is None and followed is not None and labels == followed.labels:
            return await followed.get(lambda: self._list(resource, None, labels))
        if namespace is None and not labels:
            return await self._lists.get(resource, lambda: self._list(resource, None, labels))
        return await self._list(resource, namespace, labels)

    async def follow(self, resource: Resource) -> None:
        """For ever: read a followed list now and then, however well events tell of it."""
        followed = self._followed[resource]
        await followed.keep_renewing(lambda: self._list(resource, None, followed.labels))

    async def _list(self, resource: Resource, namespace: str | None, labels: Mapping[str, str]) -> list[Json]:
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        query = [("labelSelector", selector)] if selector else []
        answer = await self._request("GET", resource.path(namespace), query=query)
        # Items of a list come without kind and apiVersion; nothing of ours should have to know that.
        named = {"apiVersion": resource.api_version, "kind": resource.kind}
        return [named | item for item in answer["items"]]

    async def create(self, resource: Resource, body: Json) -> Json:
        return await self._request(
            "POST", resource.path(_namespace(body)), body=body, query=[("fieldManager", FIELD_MANAGER)]
        )

    async def apply(self, resource: Resource, body: Json) -> Json:
        path = resource.path(_namespace(body), body["metadata"]["name"])
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        return await self._request("PATCH", path, body=body, query=query, media="application/apply-patch+yaml")

    async def replace(self, resource: Resource, body: Json) -> Json:
        path = resource.path(_namespace(body), body["metadata"]["name"])
        return await self._request("PUT", path, body=_guarded(body), query=[("fieldManager", FIELD_MANAGER)])

    async def replace_status(self, resource: Resource, body: Json) -> Json:
        path = resource.path(_namespace(body), body["metadata"]["name"], "status")
        return await self._request("PUT", path, body=_guarded(body), query=[("fieldManager", FIELD_MANAGER)])

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str, force: bool = False) -> None:
        options: Json = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        if force:
            options["gracePeriodSeconds"] = 0
        await self._request("DELETE", resource.path(namespace, name), body=options)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: Sequence[tuple[str, str]] = (),
        media: str = "application/json",
    ) -> Json:
        headers = {"Accept": "application/json", "Content-Type": media}
        try:
            request = await self._client.param_serialize(
                method, path, query_params=list(query), header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            response = await self._client.call_api(*request, _request_timeout=REQUEST_TIMEOUT_SECONDS)
            content = await response.read()  # type: ignore[no-untyped-call]  # the client is untyped
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise errors.Unavailable(f"{method} {path}: {type(error).__name__}: {error}") from error
        if not 200 <= response.status <= 299:
            raise _error(method, path, response.status, content)
        decoded: Json = json.loads(content)
        return decoded


def _namespace(body: Json) -> str | None:
    namespace: str | None = body["metadata"].get("namespace")
    return namespace


def _guarded(body: Json) -> Json:
    assert body["metadata"].get("resourceVersion"), "a replace without resourceVersion would overwrite other writers"
    return body


def _error(method: str, path: str, status: int, content: bytes) -> errors.ApiError:
    try:
        said = json.loads(content).get("message", "")
    except ValueError:
        said = content[:200].decode(errors="replace")
    kinds: dict[int, type[errors.ApiError]] = {
        401: errors.Denied,
        403: errors.Denied,
        404: errors.NotFound,
        409: errors.Conflict,
        400: errors.Invalid,
        422: errors.Invalid,
    }
    return kinds.get(status, errors.Unavailable)(f"{method} {path}: {status}: {said}")
