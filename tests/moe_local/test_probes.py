from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from moe_local.nodes.probes import Timing, Verdict, look, resolve_port

TIMING = Timing(delay=0, period=1, timeout=1, successes=2, failures=3)


async def never(_command: list[str], _timeout: float) -> tuple[int, str]:
    raise AssertionError("no exec probe here")


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def test_it_takes_the_threshold_in_a_row_to_flip() -> None:
    verdict = Verdict(timing=TIMING, good=True)
    assert [verdict.look("bad") for _ in range(2)] == [False, False]
    assert verdict.look("") is False
    assert [verdict.look("bad") for _ in range(3)] == [False, False, True]
    assert not verdict.good
    assert [verdict.look("") for _ in range(2)] == [False, True]
    assert verdict.good


def test_defaults_are_those_of_kubernetes() -> None:
    assert Timing.read({}) == Timing(delay=0, period=10, timeout=1, successes=1, failures=3)


@pytest.mark.parametrize(("status", "failure"), [(200, ""), (302, ""), (404, "HTTP probe failed with statuscode: 404")])
async def test_http_is_judged_by_its_status(status: int, failure: str) -> None:
    async with server(f"HTTP/1.1 {status} X\r\n\r\n".encode()) as port:
        assert await look({"httpGet": {"path": "/", "port": port}}, "127.0.0.1", {}, never) == failure
        assert await look({"httpGet": {"port": "web"}}, "127.0.0.1", {"web": port}, never) == failure


async def test_a_closed_port_and_an_unknown_one_are_told() -> None:
    async with server(b"") as port:
        assert await look({"tcpSocket": {"port": port}}, "127.0.0.1", {}, never) == ""
    assert "Connect call failed" in await look({"tcpSocket": {"port": port}}, "127.0.0.1", {}, never)
    assert "names no such port" in await look({"httpGet": {"port": "web"}}, "127.0.0.1", {}, never)


async def test_a_command_is_judged_by_its_code() -> None:
    async def execute(command: list[str], _timeout: float) -> tuple[int, str]:
        return (0, "") if command == ["true"] else (1, "no")

    assert await look({"exec": {"command": ["true"]}}, "127.0.0.1", {}, execute) == ""
    assert await look({"exec": {"command": ["false"]}}, "127.0.0.1", {}, execute) == "command ended with 1: no"


def test_ports_may_be_numbers_in_text() -> None:
    assert resolve_port("8080", {}) == 8080
