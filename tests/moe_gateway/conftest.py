"""A gateway on a real port of loopback, its heads, and OpenAI's own client."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import openai
import pytest
import uvicorn

from moe_gateway.app import build_app
from moe_gateway.balancer import Balancer
from moe_gateway.chat import ChatTemplate
from moe_gateway.heads import Credentials, HeadPool
from moe_gateway.keys import ApiKeys
from moe_gateway.metrics import Metrics
from moe_gateway.service import Limits, Service
from moe_gateway.tokenizer import TextModel, load_text_model
from tests.moe_gateway.fakes import CREDENTIALS, Clock, FakeHead, write_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def text_model(checkpoint: Path) -> TextModel:
    return load_text_model(checkpoint)


@dataclass(kw_only=True)
class Gateway:
    """A running gateway whose clock stands still until told."""

    http: httpx.AsyncClient
    client: openai.AsyncOpenAI
    clock: Clock
    metrics: Metrics
    balancer: Balancer
    pool: HeadPool
    text_model: TextModel
    heads: list[FakeHead] = field(default_factory=list)

    def pass_time(self, seconds: float) -> None:
        self.clock.seconds += seconds
        self.balancer.tick()

    async def add_heads(self, *heads: FakeHead) -> None:
        """Start heads and wait until they are connected."""
        for head in heads:
            await head.start()
        self.heads += heads
        self.pool.apply({head.key: head.target for head in self.heads if head.is_alive})
        await until(lambda: self.balancer.num_heads == sum(head.is_alive for head in self.heads))


async def until(condition: Callable[[], bool]) -> None:
    """Yield to the loop until the condition holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event of its own
            await asyncio.sleep(0.001)


@pytest.fixture
def api_keys() -> ApiKeys:
    """Everybody may ask, unless a test says otherwise."""
    return ApiKeys(None)


@pytest.fixture
async def gateway(text_model: TextModel, api_keys: ApiKeys) -> AsyncIterator[Gateway]:
    async with open_gateway(text_model, api_keys=api_keys) as gateway:
        yield gateway


@asynccontextmanager
async def open_gateway(
    text_model: TextModel, *, api_keys: ApiKeys, credentials: Credentials = CREDENTIALS
) -> AsyncIterator[Gateway]:
    """A gateway that serves on loopback until the end of the block."""
    clock = Clock()
    metrics = Metrics("demo-model")
    balancer = Balancer(hold_seconds=30, now=clock, metrics=metrics)
    metrics.follow(balancer)
    pool = HeadPool(credentials, balancer)
    assert text_model.chat_template is not None
    service = Service(
        served_model="demo-model",
        limits=Limits(max_sequence_length=256, max_choices=200, request_seconds=3000),
        text_model=text_model,
        chat_template=ChatTemplate(text_model.chat_template, text_model.special_tokens),
        balancer=balancer,
        drain=asyncio.Event(),
        started=1_700_000_000,
    )
    listener = socket.create_server(("127.0.0.1", 0))
    app = build_app(service, max_body_bytes=100_000, keys=api_keys, metrics=metrics)
    config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    # Loading the system's certificates for every test would take longer than the tests.
    async with httpx.AsyncClient(base_url=url, timeout=60, verify=False, trust_env=False) as http:
        client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, http_client=http)
        gateway = Gateway(
            http=http, client=client, clock=clock, metrics=metrics, balancer=balancer, pool=pool,
            text_model=text_model,
        )  # fmt: skip
        yield gateway
    for head in gateway.heads:
        head.kill()
    await pool.close()
    await server.shutdown(sockets=[listener])
