"""A gateway in a process of its own, as in its pod but for where it finds the API server: one is stood in for here,
that lists the first stage of a static layout and has no news of it.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from benchmarks.soak.questions import MODEL
from moe_api import names
from moe_gateway.heads import HeadPool
from moe_gateway.places import HeadLink
from moe_gateway.router import HeadKey
from moe_gateway.topology import HeadTarget
from moe_wire.messages import Load, Message

NAMESPACE = "default"
START_LIMIT_S = 60
STOP_LIMIT_S = 40
Json = dict[str, Any]
SHAPE = {
    "layers": 4,
    "experts": 8,
    "expertsPerToken": 2,
    "hiddenSize": 64,
    "heads": 4,
    "keyValueHeads": 2,
    "headSize": 16,
    "expertFfnSize": 32,
    "vocabularySize": 512,
}


def first_stage(pod: str, addresses: Sequence[str]) -> Json:
    """The MoEStage of ranks that are all in one pod, a lane each."""
    ranks = range(len(addresses))
    return {
        "apiVersion": f"{names.GROUP}/{names.VERSION}",
        "kind": "MoEStage",
        "metadata": {"name": f"{pod}-r0-s00", "namespace": NAMESPACE, "generation": 1, "resourceVersion": "1"},
        "spec": {
            "deployment": pod, "replica": 0, "stage": 0, "stages": 2, "ranksPerStage": len(addresses),
            "firstLayer": 0, "numLayers": SHAPE["layers"] // 2, "engine": {}, "failover": {}, "experts": [],
            "model": {"path": "", "dtype": "float32", "name": MODEL, "shape": SHAPE},
            "ranks": [{"rank": rank, "pod": pod, "podUID": pod, "gpu": rank} for rank in ranks],
            "lanes": [{"lane": rank, "rank": rank} for rank in ranks],
        },
        "status": {
            "ranks": [
                {"rank": rank, "pod": pod, "podUID": pod, "address": addresses[rank], "state": "serving"}
                for rank in ranks
            ]
        },
    }  # fmt: skip


@asynccontextmanager
async def api_server(stage: Json) -> AsyncIterator[str]:
    """The URL of what answers a gateway's list and its watches."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": [stage]})
        watch = web.StreamResponse()
        await watch.prepare(request)
        await asyncio.sleep(float(request.query["timeoutSeconds"]))
        return watch

    app = web.Application()
    app.router.add_get(f"/apis/{names.GROUP}/{names.VERSION}/namespaces/{NAMESPACE}/{names.STAGE_PLURAL}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def gateway(stage: Json, *, model: Path, secret_file: Path, port: int) -> AsyncIterator[Process]:
    """Asked to end with the block; it is killed if it does not."""
    async with api_server(stage) as url:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.soak.gateway_process", stdout=sys.stderr,
            env=os.environ | {
                "API_SERVER": url, "MOE_DEPLOYMENT": stage["spec"]["deployment"], "MOE_NAMESPACE": NAMESPACE,
                "MODEL_PATH": str(model), "MOE_SERVED_MODEL": MODEL, "MOE_SECRET_FILE": str(secret_file),
                "POD_IP": "127.0.0.1", "MOE_PORT": str(port),
            },
        )  # fmt: skip
        try:
            yield process
        finally:
            await _end(process)


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


class LoadListener:
    """What each head said last of its load, as a second gateway hears it that asks nothing."""

    def __init__(self) -> None:
        self.loads: dict[int, Load] = {}

    def connected(self, link: HeadLink) -> None:
        """It will say so itself."""

    def lost(self, link: HeadLink) -> None:
        self.loads.pop(link.key.rank, None)

    def received(self, link: HeadLink, message: Message) -> None:
        if isinstance(message, Load):
            self.loads[link.key.rank] = message


def listen(pool: HeadPool, pod: str, addresses: Sequence[str]) -> None:
    """Connect to all heads."""
    keys = [HeadKey(replica=0, rank=rank, pod_uid=pod) for rank in range(len(addresses))]
    ends = [address.rpartition(":") for address in addresses]
    pool.apply(
        {
            key: HeadTarget(key=key, num_lanes=1, num_open_lanes=1, epoch=1, address=(host, int(port)))
            for key, (host, _, port) in zip(keys, ends, strict=True)
        }
    )
