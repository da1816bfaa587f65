from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from moe_local.nodes.services import Services

Json = dict[str, Any]

# Addresses that no cluster on this machine is likely to use at the same time.
CLUSTER_IP, POD_A, POD_B = "10.96.255.250", "10.244.255.250", "10.244.255.251"


@asynccontextmanager
async def pod(address: str, name: bytes) -> AsyncIterator[int]:
    """Answers every line with its name and the line, and closes after the client has."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            writer.write(name + b":" + line)
        writer.close()

    listening = await asyncio.start_server(serve, address.replace("10.", "127.", 1), 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def service(port: int) -> Json:
    return {"metadata": {"namespace": "n", "name": "s"}, "spec": {"clusterIP": CLUSTER_IP, "ports": [{"port": port}]}}


def endpoints(name: str, address: str, port: int, ready: bool = True) -> Json:
    return {
        "metadata": {"namespace": "n", "name": name, "labels": {"kubernetes.io/service-name": "s"}},
        "ports": [{"name": "", "port": port}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}}],
    }


@asynccontextmanager
async def running(services: Services) -> AsyncIterator[tuple[str, int]]:
    """The services at work; gives the address of the one Service."""
    services.replace_services([service(19555)])
    await services.adjust()
    described = services.describe("n", "s")
    assert described is not None
    try:
        yield described["ports"][0]["address"]
    finally:
        services.replace_services([])
        await services.adjust()


async def ask(address: tuple[str, int]) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"hello\n")
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def test_ready_pods_take_turns_and_the_end_is_passed_on() -> None:
    services = Services()
    async with pod(POD_A, b"a") as port_a, pod(POD_B, b"b") as port_b, running(services) as address:
        assert address == ("127.96.255.250", 19555)
        services.replace_slices([endpoints("one", POD_A, port_a), endpoints("two", POD_B, port_b)])
        assert {await ask(address) for _ in range(4)} == {b"a:hello\n", b"b:hello\n"}
        services.change_slice("MODIFIED", endpoints("two", POD_B, port_b, ready=False))
        assert {await ask(address) for _ in range(3)} == {b"a:hello\n"}


async def test_a_pod_that_refuses_is_passed_over() -> None:
    services = Services()
    async with pod(POD_A, b"a") as port_a, running(services) as address:
        services.replace_slices([endpoints("one", POD_A, port_a), endpoints("two", POD_B, 1)])
        assert {await ask(address) for _ in range(4)} == {b"a:hello\n"}


async def test_services_without_an_address_have_no_listener() -> None:
    services = Services()
    headless = {"metadata": {"namespace": "n", "name": "h"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}
    async with running(services):
        services.change_service("ADDED", headless)
        await services.adjust()
        assert services.describe("n", "h") == {"ports": []}
        assert services.describe("n", "none") is None
        assert services.names() == ["n/h", "n/s"]
