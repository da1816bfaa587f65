"""The operator's entry point: settings from the environment, one API client, one queue, kopf for the events."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import sys
import time
from collections.abc import Hashable, Iterator, Mapping

import kopf

from moe_api import names
from moe_operator import resources
from moe_operator.api import KubernetesApi, Resource
from moe_operator.clock import SystemClock
from moe_operator.desire.settings import SettingsError
from moe_operator.events import Herald
from moe_operator.followed_list import FollowedList
from moe_operator.handlers import register
from moe_operator.metrics import served
from moe_operator.queue import Backoff, DirtyQueue, Key
from moe_operator.reconcile import Reconciler
from moe_operator.settings import HEALTH_PORT, METRICS_PORT, Settings, read_settings
from moe_operator.shared_lists import SharedLists

DEPLOYMENT_REST_SECONDS = 0.5
STAGE_REST_SECONDS = 0.05
DEPLOYMENT_HOLD_SECONDS = 1.0
EVENT_HOLD_SECONDS = 1.0
"""Until then streams that a failure stopped go on, which everything else takes the processor from."""
KEPT_SECONDS: Mapping[Hashable, float] = {
    resources.RESOURCE_SLICES: 1.0,
    resources.TAINT_RULES: 1.0,
}
"""Of these the operator does not hear by events, and looks again soon."""


class EndlessBackoffs:
    """kopf's waits between tries: it never gives up, because the operator has nothing better to do than to wait."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.1, 0.2, 0.5, 1.0, 2.0), itertools.repeat(5.0))


def main() -> None:
    """Run until told to stop (SIGINT, SIGTERM)."""
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        sys.exit(f"moe-operator: {error}")
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Handlers and probes succeed all the time; only what fails is worth a line.
    for quiet in ("kopf.objects", "kopf.activities", "aiohttp.access"):
        logging.getLogger(quiet).setLevel(logging.WARNING)
    try:
        asyncio.run(run(settings))
    except kopf.LoginError as error:
        sys.exit(f"moe-operator: {error}")


async def run(settings: Settings, *, stop: asyncio.Event | None = None) -> None:
    """The whole operator in the running loop; ends when `stop` is set or a signal arrives."""
    lists = SharedLists(time.monotonic, KEPT_SECONDS)
    followed = {
        resources.PODS: FollowedList(time.monotonic, names.OURS),
        resources.NODES: FollowedList(time.monotonic, {}),
    }
    api = await KubernetesApi.connect(os.environ, lists, followed)
    clock = SystemClock()
    herald = Herald(api, clock, hold_seconds=EVENT_HOLD_SECONDS)
    reconciler = Reconciler(api=api, clock=clock, images=settings.images, herald=herald)
    metrics = reconciler.metrics
    reconcile = metrics.timed(reconciler.reconcile)
    queue = DirtyQueue(
        reconcile, clock=clock, backoff=Backoff(), rest_seconds=_rest_seconds, hold_seconds=_hold_seconds
    )
    metrics.follow(queue.depth)
    try:
        with served(metrics, settings.health_address, METRICS_PORT):
            await _serve(settings, api, followed, reconciler, queue, stop)
    finally:
        await queue.stop()
        await herald.close()
        await api.close()


async def _serve(
    settings: Settings,
    api: KubernetesApi,
    followed: Mapping[Resource, FollowedList],
    reconciler: Reconciler,
    queue: DirtyQueue,
    stop: asyncio.Event | None,
) -> None:
    registry = kopf.OperatorRegistry()
    tick = asyncio.Event()
    register(registry, queue.mark, tick.set, followed[resources.PODS].hear, followed[resources.NODES].hear)
    _register_activities(registry, api, queue)
    background = [
        asyncio.create_task(queue.tick(settings.tick_seconds, reconciler.all_keys, wake=tick)),
        *(asyncio.create_task(api.follow(resource)) for resource in followed),
    ]
    health = f"http://{settings.health_address}:{HEALTH_PORT}/healthz" if settings.health_address else None
    try:
        await kopf.operator(
            registry=registry,
            settings=_kopf_settings(),
            standalone=True,
            clusterwide=True,
            liveness_endpoint=health,
            stop_flag=stop,
        )
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)


def _register_activities(registry: kopf.OperatorRegistry, api: KubernetesApi, queue: DirtyQueue) -> None:
    @kopf.on.login(registry=registry)
    async def log_in(**_: object) -> kopf.ConnectionInfo:
        identity = api.identity()
        return kopf.ConnectionInfo(
            server=identity.server,
            ca_path=identity.ca_path,
            insecure=not identity.is_verified,
            scheme=identity.scheme or None,
            token=identity.token or None,
            certificate_path=identity.certificate_path,
            private_key_path=identity.private_key_path,
        )

    @kopf.on.probe(registry=registry, id="secondsSinceTick")
    async def probe(**_: object) -> float:
        return round(queue.seconds_since_tick(), 1)


def _rest_seconds(key: Key) -> float:
    """Reports come many a second while a deployment comes up. A failure after a quiet moment is looked at at once."""
    return DEPLOYMENT_REST_SECONDS if key.kind == names.DEPLOYMENT_KIND else STAGE_REST_SECONDS


def _hold_seconds(key: Key) -> float:
    """What a deployment tells of a failure can wait: its stages, which mend it, have the processor to themselves."""
    return DEPLOYMENT_HOLD_SECONDS if key.kind == names.DEPLOYMENT_KIND else 0.0


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.networking.error_backoffs = EndlessBackoffs()
    settings.networking.request_timeout = 30.0
    settings.networking.connect_timeout = 10.0
    # The server closes and we reconnect well before a silent connection could hide events for long.
    settings.watching.server_timeout = 300
    settings.watching.reconnect_backoff = 0.1
    ours = ",".join(f"{label}={value}" for label, value in names.OURS.items())
    settings.watching.label_selectors["", "v1", "pods"] = ours
    settings.watching.label_selectors["apps", "v1", "deployments"] = ours
    return settings


if __name__ == "__main__":
    main()
