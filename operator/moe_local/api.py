"""The only module that talks to the API server, in plain JSON. Its client's exceptions become ApiError here."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config

from moe_local.errors import ApiError

Json = dict[str, Any]

REQUEST_SECONDS = 15.0
# The server ends a watch after this; a connection that silently died is noticed then at the latest.
WATCH_SECONDS = 300
STRATEGIC = "application/strategic-merge-patch+json"


class Api:
    """Requests by path, such as `/api/v1/namespaces/default/pods`."""

    def __init__(self, api_client: client.ApiClient, is_reachable: Callable[[], bool] = lambda: True) -> None:
        self._client = api_client
        self._is_reachable = is_reachable
        self._base = str(api_client.configuration.host)

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, kubeconfig: Path) -> AsyncIterator[Api]:
        """A client with the identity that a kubeconfig names."""
        settings = client.Configuration()
        await config.load_kube_config(config_file=str(kubeconfig), client_configuration=settings)  # type: ignore[no-untyped-call]  # no types
        settings.connection_pool_maxsize = 64
        async with client.ApiClient(settings) as api_client:
            yield cls(api_client)

    def behind(self, is_reachable: Callable[[], bool]) -> Api:
        """The same client for one who may be cut off: then every request fails as if nobody had answered."""
        return Api(self._client, is_reachable)

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Reads an object or a list."""
        return await self._send("GET", path, query=query)

    async def create(self, path: str, body: Json) -> Json:
        """Creates an object."""
        return await self._send("POST", path, body)

    async def patch(self, path: str, body: Json) -> Json:
        """Strategic merge: lists such as conditions are merged by their key."""
        return await self._send("PATCH", path, body, content=STRATEGIC)

    async def delete(self, path: str, body: Json) -> Json:
        """Deletes an object; `body` is DeleteOptions."""
        return await self._send("DELETE", path, body)

    async def put(self, path: str, body: Json) -> Json:
        """Replaces an object."""
        return await self._send("PUT", path, body)

    async def follow(
        self, path: str, listed: Callable[[list[Json]], None], changed: Callable[[str, Json], None], selector: str = ""
    ) -> None:
        """Calls `listed` with all objects, then `changed` per event (ADDED, MODIFIED, DELETED), for ever.

        After every loss of the connection or of the position `listed` is called again with all that there is then.
        """
        delay = 0.1
        while True:
            try:
                query = {"fieldSelector": selector} if selector else {}
                found = await self.get(path, query)
                # List items carry no kind; nothing here needs it.
                listed(found["items"])
                delay = 0.1
                await self._watch(path, query, found["metadata"]["resourceVersion"], changed)
            except ApiError:
                await asyncio.sleep(delay)
                delay = min(delay * 2, 0.5)

    async def _watch(
        self, path: str, query: Mapping[str, str], version: str, changed: Callable[[str, Json], None]
    ) -> None:
        while True:
            parameters = {
                **query,
                "watch": "true",
                "resourceVersion": version,
                "allowWatchBookmarks": "true",
                "timeoutSeconds": str(WATCH_SECONDS),
            }
            async for event in self._events(path, parameters):
                if event["type"] == "ERROR":
                    raise ApiError(int(event["object"].get("code", 500)), str(event["object"].get("message", "")))
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    changed(event["type"], event["object"])

    async def _events(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Json]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=WATCH_SECONDS + 30.0)
        response = await self._open("GET", path, query, None, "application/json", timeout)
        try:
            while line := await response.content.readline():
                yield json.loads(line)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise ApiError(0, f"the watch of {path} broke: {error!r}") from error
        finally:
            response.close()

    async def _send(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
    ) -> Json:
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        response = await self._open(method, path, query or {}, body, content, timeout)
        try:
            answer: Json = json.loads(await response.read())
            return answer
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise ApiError(0, f"{method} {path}: {error!r}") from error
        finally:
            response.release()

    async def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None,
        content: str,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        url = self._base + path + (f"?{urlencode(query)}" if query else "")
        headers = {"Content-Type": content, "Accept": "application/json"}
        if not self._is_reachable():
            raise ApiError(0, f"{method} {path}: the node is cut off from the API server")
        try:
            wrapped = await self._client.rest_client.request(  # type: ignore[no-untyped-call]  # no types
                method, url, headers=headers, body=body, _request_timeout=timeout
            )
            response: aiohttp.ClientResponse = wrapped.response
            if response.status < 400:
                return response
            text = await response.text()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiError(0, f"{method} {path}: {error!r}") from error
        raise ApiError(response.status, _message(text))


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:500]
