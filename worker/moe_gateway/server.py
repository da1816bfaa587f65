"""One gateway process, put together from its settings and run until SIGTERM: drain the streams, then leave with 0."""

import asyncio
import logging
import random
import signal
import time
from collections.abc import Iterable

import uvicorn

from moe_api.stage import MoEStage
from moe_gateway.api import ApiConfiguration, PodReport, StageWatch
from moe_gateway.app import build_app
from moe_gateway.balancer import Balancer
from moe_gateway.canaries import Canaries, CanaryLimits
from moe_gateway.chat import ChatTemplate
from moe_gateway.draining import DrainingServer
from moe_gateway.errors import going_away
from moe_gateway.heads import Credentials, HeadPool
from moe_gateway.keys import ApiKeys
from moe_gateway.metrics import Metrics
from moe_gateway.service import Limits, Service, unix_seconds
from moe_gateway.settings import Settings
from moe_gateway.tokenizer import load_text_model
from moe_gateway.topology import head_targets
from moe_wire.handshake import read_secret

logger = logging.getLogger(__name__)

_TICK_SECONDS = 0.1
_LEAST_BETWEEN_REPORTS_SECONDS = 0.5


async def serve(settings: Settings, configuration: ApiConfiguration) -> None:
    """Serve until asked to stop. Whatever part fails ends the process, and the kubelet starts it again."""
    metrics = Metrics(settings.served_model)
    balancer = Balancer(
        hold_seconds=settings.hold_seconds,
        now=time.monotonic,
        metrics=metrics,
        first=random.randrange(1 << 16),
        streams_per_lane=settings.streams_per_lane,
    )
    metrics.follow(balancer)
    pool = HeadPool(_credentials(settings), balancer)
    service = build_service(settings, balancer)
    canaries = _canaries(settings, service)
    watch = StageWatch(
        configuration,
        namespace=settings.namespace,
        deployment=settings.deployment,
        on_stages=lambda stages: _follow(pool, canaries, tuple(stages)),
    )
    report = PodReport(
        configuration, namespace=settings.namespace, pod_name=settings.pod_name, pod_uid=settings.pod_uid
    )
    server = _http_server(settings, service, metrics)
    # uvicorn sends itself the signal again once it has drained; leaving with 0 is what was asked for.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        async with asyncio.TaskGroup() as group:
            parts = (watch.run(), _tick(balancer, canaries), _tell(canaries, report))
            background = [group.create_task(part) for part in parts]
            await server.serve_and_drain()
            for task in background:
                task.cancel()
    finally:
        await pool.close()


def build_service(settings: Settings, balancer: Balancer) -> Service:
    """Reads the checkpoint's text side; raises CheckpointError."""
    text_model = load_text_model(settings.model_path)
    template = (
        ChatTemplate(text_model.chat_template, text_model.special_tokens)
        if text_model.chat_template is not None
        else None
    )
    return Service(
        served_model=settings.served_model,
        limits=Limits(
            max_sequence_length=settings.max_sequence_length,
            max_choices=settings.max_choices,
            request_seconds=settings.request_seconds,
        ),
        text_model=text_model,
        chat_template=template,
        balancer=balancer,
        drain=asyncio.Event(),
        started=unix_seconds(),
    )


def _http_server(settings: Settings, service: Service, metrics: Metrics) -> DrainingServer:
    app = build_app(service, max_body_bytes=settings.max_body_bytes, keys=ApiKeys(settings.api_keys), metrics=metrics)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        lifespan="off",
        access_log=False,
        log_config=None,
        ws="none",
        server_header=False,
    )
    return DrainingServer(
        config,
        drain_seconds=settings.drain_seconds,
        on_drain=service.drain.set,
        on_end=lambda: service.balancer.fail_all(going_away()),
    )


def _credentials(settings: Settings) -> Credentials:
    return Credentials(
        secret=read_secret(settings.secret_file.read_bytes()),
        deployment=settings.deployment,
        pod_uid=settings.pod_uid,
        address=settings.host,
    )


def _canaries(settings: Settings, service: Service) -> Canaries:
    limits = CanaryLimits(vocab_size=service.text_model.vocab_size, max_sequence_length=settings.max_sequence_length)
    return Canaries(service.balancer, now=time.monotonic, pod_name=settings.pod_name, limits=limits)


def _follow(pool: HeadPool, canaries: Canaries, stages: Iterable[MoEStage]) -> None:
    pool.apply(head_targets(stages))
    canaries.follow(stages)


async def _tick(balancer: Balancer, canaries: Canaries) -> None:
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        balancer.tick()
        canaries.step()


async def _tell(canaries: Canaries, report: PodReport) -> None:
    """What is new of a drill; without one nothing is written."""
    told = None
    while True:
        await asyncio.sleep(_LEAST_BETWEEN_REPORTS_SECONDS)
        news = canaries.report
        if news is not None and news != told and await report.write(news.to_json()):
            told = news
