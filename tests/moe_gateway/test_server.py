"""The whole process, as the kubelet runs it, but for where it finds the API server."""

import asyncio
import base64
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.moe_gateway.api_server import FakeApiServer
from tests.moe_gateway.fakes import CREDENTIALS, FakeHead
from tests.moe_gateway.stages import stage_json

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, os
from kubernetes.aio.client import Configuration
from moe_gateway.server import serve
from moe_gateway.settings import read_settings
asyncio.run(serve(read_settings(os.environ), Configuration(host=os.environ["API_SERVER"])))
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def run_python(*arguments: str, **env: str) -> "asyncio.Future[asyncio.subprocess.Process]":
    paths = os.pathsep.join(str(ROOT / part) for part in ("operator", "worker"))
    return asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            sys.executable, *arguments, env={"PATH": os.environ["PATH"], "PYTHONPATH": paths, **env}, stderr=-1
        )
    )


async def wait_ready(url: str) -> None:
    async with httpx.AsyncClient(verify=False, trust_env=False) as client, asyncio.timeout(60):
        while True:
            try:
                if (await client.get(f"{url}/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


@dataclass(kw_only=True)
class Running:
    """A gateway's process with two heads, and a client of it."""

    process: asyncio.subprocess.Process
    port: int
    heads: list[FakeHead]
    client: httpx.AsyncClient


@asynccontextmanager
async def running(checkpoint: Path, folder: Path, **env: str) -> AsyncIterator[Running]:
    key = folder / "key"
    key.write_bytes(base64.urlsafe_b64encode(CREDENTIALS.secret))
    heads = [await FakeHead(rank, pod_uid="uid").start() for rank in (0, 1)]
    addresses = [head.target.address or ("", 0) for head in heads]
    api = FakeApiServer()
    api.items = [stage_json(addresses=(f"127.0.0.1:{addresses[0][1]}", f"127.0.0.1:{addresses[1][1]}"))]
    await api.start()
    url = f"http://127.0.0.1:{(port := free_port())}"
    process = await run_python(
        "-c", PROGRAM, API_SERVER=api.url, MOE_DEPLOYMENT="demo", MOE_NAMESPACE="default", MODEL_PATH=str(checkpoint),
        MOE_SECRET_FILE=str(key), POD_IP="127.0.0.1", MOE_PORT=str(port), **env,
    )  # fmt: skip
    try:
        await wait_ready(url)
        async with httpx.AsyncClient(base_url=url, verify=False, trust_env=False, timeout=60) as client:
            yield Running(process=process, port=port, heads=heads, client=client)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        for head in heads:
            head.kill()
        await api.stop()


async def ended(process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(30):
        return await process.wait()


BODY = {"model": "demo", "prompt": "the", "max_tokens": 8, "stream": True}


async def test_a_drained_gateway_finishes_its_streams_and_leaves_with_0(checkpoint: Path, tmp_path: Path) -> None:
    async with running(checkpoint, tmp_path) as gateway:
        for head in gateway.heads:
            head.pause_at = 2
        async with gateway.client.stream("POST", "/v1/completions", json=BODY) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            gateway.process.send_signal(signal.SIGTERM)
            await refused(gateway.port)
            for head in gateway.heads:
                head.resumed.set()
            rest = [line async for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert '"finish_reason":"length"' in rest[-2]
        assert await ended(gateway.process) == 0


async def test_what_a_drain_cannot_finish_is_told_so_and_nobody_is_sent_there(checkpoint: Path, tmp_path: Path) -> None:
    async with running(checkpoint, tmp_path, MOE_DRAIN_SECONDS="3") as gateway:
        for head in gateway.heads:
            head.pause_at = 2
        async with gateway.client.stream("POST", "/v1/completions", json=BODY) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            gateway.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(30):
                while (ready := await gateway.client.get("/readyz")).status_code == 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            rest = [line async for line in lines if line]
        assert "being stopped" in ready.json()["reason"]
        assert '"code": "gateway_stopping"' in rest[-2]
        assert rest[-1] == "data: [DONE]"
        assert await ended(gateway.process) == 0
        assert sum(len(head.cancels) for head in gateway.heads) == 1


async def refused(port: int) -> None:
    """Until nobody listens any more."""
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except (ConnectionRefusedError, ConnectionResetError):  # the latter where it stops listening meanwhile
                return
            writer.close()
            await asyncio.sleep(0.02)


async def test_a_gateway_outside_a_pod_says_what_it_lacks() -> None:
    process = await run_python("-m", "moe_gateway.main", MOE_DEPLOYMENT="d", MOE_NAMESPACE="n", MODEL_PATH="/nowhere")
    _, error = await process.communicate()
    assert process.returncode == 2
    assert "runs as a pod" in error.decode()
    assert "Traceback" not in error.decode()
