"""Services on this machine: a loopback listener per Service that forwards to its ready pods, round-robin.

10.96.a.b, which routes nowhere without kube-proxy, answers at 127.96.a.b for as long as the Service exists.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from moe_local.nodes.addresses import loopback

Json = dict[str, Any]
Address = tuple[str, int]

CHUNK = 1 << 16
CONNECT_SECONDS = 2.0

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Listener:
    """One port of one Service."""

    address: Address
    server: asyncio.Server | None = None
    error: str = ""
    turns: Iterator[int] = field(default_factory=itertools.count)


class Services:
    """All Services and where they lead."""

    def __init__(self) -> None:
        self._services: dict[str, Json] = {}
        self._slices: dict[str, Json] = {}
        self._listeners: dict[tuple[str, str], Listener] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Opens and closes listeners as Services come and go, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.adjust()

    def replace_services(self, services: list[Json]) -> None:
        """All Services there are."""
        self._services = {_key(one): one for one in services}
        self._changed.set()

    def change_service(self, kind: str, service: Json) -> None:
        """One watch event of a Service."""
        _apply(self._services, kind, service)
        self._changed.set()

    def replace_slices(self, slices: list[Json]) -> None:
        """All EndpointSlices there are."""
        self._slices = {_key(one): one for one in slices}

    def change_slice(self, kind: str, endpoints: Json) -> None:
        """One watch event of an EndpointSlice."""
        _apply(self._slices, kind, endpoints)

    def describe(self, namespace: str, name: str) -> Json | None:
        """Where a Service answers and how many pods stand behind it; None when there is no such Service."""
        key = f"{namespace}/{name}"
        if key not in self._services:
            return None
        ports = []
        for port, listener in ((port, one) for (service, port), one in self._listeners.items() if service == key):
            ready = len(self._ready(key, port))
            ports.append({"name": port, "address": listener.address, "error": listener.error, "ready": ready})
        return {"ports": ports}

    def names(self) -> list[str]:
        """namespace/name of every Service."""
        return sorted(self._services)

    async def adjust(self) -> None:
        """Opens and closes listeners as the Services of now ask for."""
        wanted = dict(_wanted(self._services))
        for key in [key for key, one in self._listeners.items() if wanted.get(key) != one.address]:
            listener = self._listeners.pop(key)
            if listener.server:
                listener.server.close()
        for key in wanted.keys() - self._listeners.keys():
            self._listeners[key] = await self._listen(key, wanted[key])

    async def _listen(self, key: tuple[str, str], address: Address) -> Listener:
        listener = Listener(address=address)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
            await self._forward(key, listener, reader, writer)

        try:
            listener.server = await asyncio.start_server(serve, *address)
        except OSError as error:
            listener.error = f"{address[0]}:{address[1]} cannot be listened at: {error.strerror}"
            logger.error("service %s: %s", key[0], listener.error)
        return listener

    async def _forward(
        self, key: tuple[str, str], listener: Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        ends = await self._connect(key, listener)
        if ends is None:
            writer.transport.abort()
            return
        there_reader, there_writer = ends
        try:
            await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
        finally:
            writer.close()
            there_writer.close()

    async def _connect(
        self, key: tuple[str, str], listener: Listener
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        addresses = self._ready(*key)
        first = next(listener.turns)
        for step in range(len(addresses)):
            address = addresses[(first + step) % len(addresses)]
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection(*address)
            except (OSError, TimeoutError):
                continue
        return None

    def _ready(self, service: str, port: str) -> list[Address]:
        namespace, name = service.split("/")
        found = set()
        for one in self._slices.values():
            metadata = one["metadata"]
            if metadata["namespace"] != namespace:
                continue
            if (metadata.get("labels") or {}).get("kubernetes.io/service-name") != name:
                continue
            numbers = [each["port"] for each in one.get("ports") or [] if (each.get("name") or "") == port]
            for endpoint in one.get("endpoints") or []:
                if (endpoint.get("conditions") or {}).get("ready", True):
                    found |= {(loopback(address), number) for address in endpoint["addresses"] for number in numbers}
        return sorted(found)


def _wanted(services: dict[str, Json]) -> Iterator[tuple[tuple[str, str], Address]]:
    for key, service in services.items():
        address = service["spec"].get("clusterIP")
        # The API server's own Service has no endpoints here: pods are given its real address.
        if address in (None, "", "None") or key == "default/kubernetes":
            continue
        for port in service["spec"].get("ports") or []:
            if port.get("protocol", "TCP") == "TCP":
                yield (key, port.get("name") or ""), (loopback(address), port["port"])


def _key(one: Json) -> str:
    return f"{one['metadata']['namespace']}/{one['metadata']['name']}"


def _apply(known: dict[str, Json], kind: str, one: Json) -> None:
    if kind == "DELETED":
        known.pop(_key(one), None)
    else:
        known[_key(one)] = one


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies until the end, then passes the end on. A broken side ends both."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        with contextlib.suppress(OSError):
            writer.transport.abort()
