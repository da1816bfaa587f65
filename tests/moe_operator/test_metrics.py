from __future__ import annotations

import socket
from urllib.request import ProxyHandler, build_opener

import pytest

from moe_api.deployment import DrillStatus
from moe_api.stage import MoveStatus
from moe_operator.errors import Conflict
from moe_operator.metrics import Metrics, served
from moe_operator.queue import Key
from tests.moe_operator.world import World

KEY = Key(kind="MoEStage", namespace="default", name="small-r0-s00")
LOST = MoveStatus(
    time="2026-01-01T00:00:01Z", cause="GPUFailed: XID 79", rank=2, experts=[2], detect_ms=400, commit_ms=100
)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_move_is_counted_once_and_its_load_when_it_is_through() -> None:
    metrics = Metrics()
    metrics.moved([], [LOST])
    metrics.moved([LOST], [LOST])
    assert value(metrics, "moe_operator_moves_total", cause="GPUFailed") == 1
    assert value(metrics, "moe_operator_moved_experts_total", cause="GPUFailed") == 1
    assert value(metrics, "moe_operator_detect_seconds_sum", cause="GPUFailed") == 0.4
    assert value(metrics, "moe_operator_commit_seconds_sum", cause="GPUFailed") == 0.1
    assert value(metrics, "moe_operator_resume_seconds_count", cause="GPUFailed") is None

    loaded = LOST.model_copy(update={"load_ms": 500})
    metrics.moved([LOST], [loaded])
    metrics.moved([loaded], [loaded])
    assert value(metrics, "moe_operator_load_seconds_sum", cause="GPUFailed") == 0.5
    assert value(metrics, "moe_operator_resume_seconds_sum", cause="GPUFailed") == 1.0
    assert value(metrics, "moe_operator_resume_seconds_count", cause="GPUFailed") == 1


def test_where_a_live_copy_took_over_nothing_is_loaded() -> None:
    metrics = Metrics()
    metrics.moved([], [LOST.model_copy(update={"experts": []})])
    assert value(metrics, "moe_operator_resume_seconds_sum", cause="GPUFailed") == 0.5
    assert value(metrics, "moe_operator_load_seconds_count", cause="GPUFailed") is None


def test_a_drill_is_counted_when_it_has_its_verdict() -> None:
    metrics = Metrics()
    running = DrillStatus(name="t", verdict="running")
    passed = DrillStatus(name="t", verdict="passed")
    for before, after in (([], [running]), ([running], [passed]), ([passed], [passed])):
        metrics.drilled(before, after)
    assert value(metrics, "moe_operator_drills_total", verdict="passed") == 1
    assert value(metrics, "moe_operator_drills_total", verdict="running") is None


async def test_passes_are_timed_and_failures_are_counted_by_what_they_are() -> None:
    metrics = Metrics()

    async def failing(key: Key) -> float | None:
        raise Conflict("changed meanwhile")

    with pytest.raises(Conflict):
        await metrics.timed(failing)(KEY)
    assert value(metrics, "moe_operator_reconcile_seconds_count", kind="MoEStage") == 1
    assert value(metrics, "moe_operator_reconcile_errors_total", kind="MoEStage", error="Conflict") == 1


async def test_a_failover_shows() -> None:
    world = World()
    await world.settle()
    status = (await world.stage("small-r0-s00")).status.ranks[2]
    assert status.node is not None
    world.bad_gpus[status.node, status.gpu] = "XID 79"
    await world.settle()

    metrics = world.reconciler.metrics
    assert value(metrics, "moe_operator_moves_total", cause="GPUFailed") == 1
    assert value(metrics, "moe_operator_resume_seconds_count", cause="GPUFailed") == 1


def test_they_are_served_until_the_end() -> None:
    metrics = Metrics()
    metrics.follow(lambda: 3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    url = f"http://127.0.0.1:{port}/metrics"
    with served(metrics, "127.0.0.1", port):
        answer = build_opener(ProxyHandler({})).open(url, timeout=10)
        with answer:
            assert "moe_operator_queue_depth 3.0" in answer.read().decode()
    with pytest.raises(OSError, match="refused"):
        build_opener(ProxyHandler({})).open(url, timeout=10)
