"""The gateway's only way to the API server: the first stages of its deployment, listed and watched for ever, and the
report on its own pod.

While the API server is away nothing is said, so what was known last stands. Foreign objects become MoEStages here.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from aiohttp import ClientError
from kubernetes.aio import client, config
from pydantic import ValidationError

from moe_api import names
from moe_api.stage import MoEStage
from moe_gateway.settings import SettingsError

logger = logging.getLogger(__name__)

_WATCH_SECONDS = 60  # also how long a silent connection goes unnoticed at most
_REPORT_SECONDS = 5
_MERGE_PATCH = "application/merge-patch+json"
_FIRST_BACKOFF_SECONDS = 0.05
_LONGEST_BACKOFF_SECONDS = 0.5

ApiConfiguration = client.Configuration
OnStages = Callable[[Iterable[MoEStage]], None]


def in_cluster_configuration() -> ApiConfiguration:
    """As the pod's service account; raises SettingsError outside a pod."""
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # has no types
    except config.ConfigException as error:
        raise SettingsError(
            f"{error} The gateway runs as a pod with a service account; the operator creates it."
        ) from error
    return configuration


class PodReport:
    """The report annotation of the gateway's own pod."""

    def __init__(self, configuration: ApiConfiguration, *, namespace: str, pod_name: str, pod_uid: str) -> None:
        self._configuration = configuration
        self._namespace = namespace
        self._pod_name = pod_name
        self._pod_uid = pod_uid

    async def write(self, text: str) -> bool:
        """Whether it was written; why not is logged."""
        metadata = {"uid": self._pod_uid, "annotations": {names.ANNOTATION_REPORT: text}}
        try:
            # Not by CoreV1Api: to import all of its models would stop every stream for a second.
            async with client.ApiClient(self._configuration) as api_client:
                call = await api_client.param_serialize(
                    method="PATCH",
                    resource_path="/api/v1/namespaces/{namespace}/pods/{name}",
                    path_params={"namespace": self._namespace, "name": self._pod_name},
                    header_params={"Content-Type": _MERGE_PATCH},
                    body={"metadata": metadata},
                    auth_settings=["BearerToken"],
                )
                response = await api_client.call_api(*call, _request_timeout=_REPORT_SECONDS)
                if response.status >= 400:
                    raise client.ApiException(status=response.status, reason=response.reason)
        except (client.ApiException, ClientError, OSError, TimeoutError) as error:
            logger.warning("the report on pod %s was not written: %s", self._pod_name, _brief(error))
            return False
        return True


class StageWatch:
    """Tells `on_stages` all first stages, at the beginning and after every change."""

    def __init__(
        self, configuration: ApiConfiguration, *, namespace: str, deployment: str, on_stages: OnStages
    ) -> None:
        self._configuration = configuration
        self._namespace = namespace
        self._selector = f"{names.LABEL_DEPLOYMENT}={deployment},{names.LABEL_STAGE}=0"
        self._on_stages = on_stages
        self._stages: dict[str, MoEStage] = {}

    async def run(self) -> None:
        """Until cancelled. Trouble of the API server is waited out."""
        backoff = _FIRST_BACKOFF_SECONDS
        async with client.ApiClient(self._configuration) as api_client:
            api = client.CustomObjectsApi(api_client)
            while True:
                try:
                    version = await self._list(api)
                    backoff = _FIRST_BACKOFF_SECONDS
                    await self._watch(api, version)
                except (client.ApiException, ClientError, OSError, TimeoutError, ValueError) as error:
                    logger.warning(
                        "watching the stages: %s; again in %.2f s, until then the last layout stands",
                        _brief(error),
                        backoff,
                    )
                    await asyncio.sleep(backoff)
                    backoff = min(backoff * 2, _LONGEST_BACKOFF_SECONDS)

    async def _list(self, api: client.CustomObjectsApi) -> str:
        found: Any = await api.list_namespaced_custom_object(**self._where(), _request_timeout=30)
        stages = (_stage(item) for item in found["items"])
        self._stages = {stage.metadata.name: stage for stage in stages if stage is not None}
        self._on_stages(self._stages.values())
        return str(found["metadata"]["resourceVersion"])

    async def _watch(self, api: client.CustomObjectsApi, version: str) -> None:
        """Follow changes from one version on; returns when the watch has run its time or its version is too old."""
        while True:
            response = await api.list_namespaced_custom_object_without_preload_content(
                **self._where(),
                watch=True,
                allow_watch_bookmarks=True,
                resource_version=version,
                timeout_seconds=_WATCH_SECONDS,
                _request_timeout=_WATCH_SECONDS + 5,
            )
            try:
                if response.status != 200:
                    raise client.ApiException(status=response.status, reason=response.reason)
                async for event in _events(response):
                    if event["type"] == "ERROR":
                        logger.info("the watch of the stages ended: %s", event["object"].get("message"))
                        return
                    version = str(event["object"]["metadata"]["resourceVersion"])
                    if event["type"] != "BOOKMARK":
                        self._apply(event["type"], event["object"])
            finally:
                response.close()
            await asyncio.sleep(_FIRST_BACKOFF_SECONDS)

    def _apply(self, kind: str, content: Mapping[str, Any]) -> None:
        name = content["metadata"]["name"]
        stage = _stage(content)
        if kind == "DELETED":
            self._stages.pop(name, None)
        elif stage is not None:
            self._stages[name] = stage
        self._on_stages(self._stages.values())

    def _where(self) -> dict[str, Any]:
        return {
            "group": names.GROUP, "version": names.VERSION, "namespace": self._namespace, "plural": names.STAGE_PLURAL,
            "label_selector": self._selector,
        }  # fmt: skip


async def _events(response: Any) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a watch, one a line; a line may be megabytes long."""
    buffer = bytearray()
    async for chunk in response.content.iter_any():
        buffer += chunk
        *lines, rest = bytes(buffer).split(b"\n")
        buffer = bytearray(rest)
        for line in lines:
            if line.strip():
                yield json.loads(line)


def _stage(content: Mapping[str, Any]) -> MoEStage | None:
    try:
        return MoEStage.load(content)
    except ValidationError as error:
        logger.error(
            "stage %s cannot be read, so what was known of it stands: %s",
            content.get("metadata", {}).get("name"),
            error,
        )
        return None


def _brief(error: Exception) -> str:
    if isinstance(error, client.ApiException):
        return f"{error.status} {error.reason}"
    return str(error) or type(error).__name__
