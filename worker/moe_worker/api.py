"""The worker's only door to the Kubernetes API: follow one MoEStage, and write the report annotation of one's own pod.

Foreign exceptions become ApiUnavailable (try again) or PodGone (this pod is no more) here.
"""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Protocol

import aiohttp
from kubernetes.aio import client, config

# By name: the package imports its parts only when they are asked for, and these take a second. So they are there before
# a pod is forked from a warm process.
from kubernetes.aio.client import ApiClient, CoreV1Api, CustomObjectsApi, VersionApi

from moe_api import names

LIST_TIMEOUT_S = 10.0
WATCH_SERVER_TIMEOUT_S = 120
WATCH_LIMIT_S = 130.0
MERGE_PATCH = "application/merge-patch+json"


class ApiUnavailable(Exception):
    """The API server did not answer, or not usefully; the text says how."""


class PodGone(Exception):
    """The pod of this name is another one now, or none."""


class StageApi(Protocol):
    """What a supervisor asks of the API server."""

    def follow(self, stage_name: str) -> AsyncIterator[dict[str, Any] | None]:
        """The object now (None: there is none) and at each change, until ApiUnavailable or the watch's normal end."""

    async def report(self, text: str) -> None:
        """Write the report annotation. Raises ApiUnavailable or PodGone."""

    async def get_ready(self) -> None:
        """A report will follow soon: have a connection for it by then, if there can be one."""


def pod_configuration() -> client.Configuration:
    """The service account that the pod was given."""
    configuration = client.Configuration()
    config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # it has none
    return configuration


class KubernetesApi:
    """Calls as whom `configuration` says. Use as an asynchronous context manager."""

    def __init__(self, configuration: client.Configuration, namespace: str, pod_name: str, pod_uid: str) -> None:
        self._configuration = configuration
        self._namespace = namespace
        self._pod_name = pod_name
        self._pod_uid = pod_uid

    async def __aenter__(self) -> "KubernetesApi":
        self._client = ApiClient(self._configuration)
        self._objects = CustomObjectsApi(self._client)
        self._pods = CoreV1Api(self._client)
        self._version = VersionApi(self._client)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]  # it has none

    async def follow(self, stage_name: str) -> AsyncIterator[dict[str, Any] | None]:
        try:
            listed = await self._list(stage_name)
            yield listed["items"][0] if listed["items"] else None
            async for event in self._watch(stage_name, listed["metadata"]["resourceVersion"]):
                yield event
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError) as error:
            raise ApiUnavailable(f"{type(error).__name__}: {error}") from error

    async def report(self, text: str) -> None:
        metadata = {"uid": self._pod_uid, "annotations": {names.ANNOTATION_REPORT: text}}
        try:
            response = await self._pods.patch_namespaced_pod_without_preload_content(
                self._pod_name,
                self._namespace,
                {"metadata": metadata},
                _content_type=MERGE_PATCH,
                _request_timeout=LIST_TIMEOUT_S,
            )
            body = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnavailable(f"{type(error).__name__}: {error}") from error
        if response.status == 404 or (response.status in (409, 422) and "uid" in body.lower()):
            raise PodGone(f"pod {self._pod_name} with uid {self._pod_uid}: {_message(body)}")
        if response.status >= 400:
            raise ApiUnavailable(f"{response.status}: {_message(body)}")

    async def get_ready(self) -> None:
        """Reports are rare, so their connection has mostly been closed, and to make one takes longer than a report.

        What is asked on it, and what is answered, does not matter.
        """
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            response = await self._version.get_code_without_preload_content(_request_timeout=LIST_TIMEOUT_S)
            await response.read()

    async def _list(self, stage_name: str) -> dict[str, Any]:
        response = await self._request(stage_name, _request_timeout=LIST_TIMEOUT_S)
        listed: dict[str, Any] = json.loads(await response.read())
        return listed

    async def _watch(self, stage_name: str, version: str) -> AsyncIterator[dict[str, Any] | None]:
        response = await self._request(
            stage_name,
            watch=True,
            resource_version=version,
            allow_watch_bookmarks=True,
            timeout_seconds=WATCH_SERVER_TIMEOUT_S,
            _request_timeout=WATCH_LIMIT_S,
        )
        try:
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise ApiUnavailable(f"watch: {event['object'].get('message', event['object'])}")
                if event["type"] == "DELETED":
                    yield None
                elif event["type"] != "BOOKMARK":
                    yield event["object"]
        finally:
            response.release()

    async def _request(self, stage_name: str, **options: Any) -> aiohttp.ClientResponse:
        response: aiohttp.ClientResponse = await self._objects.list_namespaced_custom_object_without_preload_content(
            names.GROUP,
            names.VERSION,
            self._namespace,
            names.STAGE_PLURAL,
            field_selector=f"metadata.name={stage_name}",
            **options,
        )
        if response.status >= 400:
            raise ApiUnavailable(f"{response.status}: {_message(await response.text())}")
        return response


def _message(body: str) -> str:
    """The sentence in a Kubernetes Status."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200]
