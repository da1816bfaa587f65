import asyncio
from collections.abc import AsyncIterator

import pytest
from kubernetes.aio import client

from moe_gateway.api import PodReport, StageWatch
from tests.moe_gateway.api_server import FakeApiServer
from tests.moe_gateway.conftest import until
from tests.moe_gateway.stages import stage_json


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    server = FakeApiServer()
    server.items = [stage_json()]
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def seen(server: FakeApiServer) -> AsyncIterator[list[list[str]]]:
    """The names of the stages, each time they were told."""
    told: list[list[str]] = []
    configuration = client.Configuration(host=server.url)
    watch = StageWatch(
        configuration,
        namespace="default",
        deployment="demo",
        on_stages=lambda stages: told.append([stage.metadata.name for stage in stages]),
    )
    task = asyncio.create_task(watch.run())
    yield told
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_list_is_told_and_then_every_change(server: FakeApiServer, seen: list[list[str]]) -> None:
    await until(lambda: bool(server.watches))
    assert seen == [["demo-r0-s00"]]
    server.say("ADDED", stage_json(replica=1, version=101))
    await until(lambda: len(seen) == 2)
    server.say("DELETED", stage_json(replica=0, version=102))
    await until(lambda: len(seen) == 3)
    assert seen[1:] == [["demo-r0-s00", "demo-r1-s00"], ["demo-r1-s00"]]


async def test_only_first_stages_of_the_own_deployment_are_asked_for(
    server: FakeApiServer, seen: list[list[str]]
) -> None:
    await until(lambda: bool(server.watches))
    selector = "moe-operator.dev/deployment=demo,moe-operator.dev/stage=0"
    assert server.lists[0]["labelSelector"] == selector
    assert server.watches[0][0]["labelSelector"] == selector


async def test_a_watch_that_ends_goes_on_from_the_last_version(server: FakeApiServer, seen: list[list[str]]) -> None:
    await until(lambda: bool(server.watches))
    server.say("BOOKMARK", {"metadata": {"resourceVersion": "150"}})
    server.end_watches()
    await until(lambda: len(server.watches) == 2)
    assert server.watches[1][0]["resourceVersion"] == "150"
    assert len(server.lists) == 1


async def test_a_version_that_is_too_old_is_listed_anew(server: FakeApiServer, seen: list[list[str]]) -> None:
    await until(lambda: bool(server.watches))
    server.say("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
    await until(lambda: len(server.watches) == 2)
    assert len(server.lists) == 2


async def test_while_the_api_server_is_away_nothing_is_told(server: FakeApiServer, seen: list[list[str]]) -> None:
    await until(lambda: bool(server.watches))
    server.is_down = True
    server.end_watches()
    server.items = []
    await until(lambda: server.num_refused >= 2)
    assert len(seen) == 1
    server.is_down = False
    await until(lambda: len(seen) == 2)
    assert seen[1] == []


async def test_a_refused_watch_is_tried_again(server: FakeApiServer, seen: list[list[str]]) -> None:
    server.watch_status = 403
    await until(lambda: len(server.watches) >= 1)
    server.watch_status = 200
    await until(lambda: server.watches[-1][1].empty() and len(server.lists) >= 2)


async def test_a_stage_that_cannot_be_read_stays_as_it_was_known(server: FakeApiServer, seen: list[list[str]]) -> None:
    await until(lambda: bool(server.watches))
    server.say("MODIFIED", {"metadata": {"name": "demo-r0-s00", "resourceVersion": "101"}, "spec": {"stage": "?"}})
    await until(lambda: len(seen) == 2)
    assert seen[1] == ["demo-r0-s00"]


async def test_a_report_is_an_annotation_of_this_very_pod(server: FakeApiServer) -> None:
    report = PodReport(client.Configuration(host=server.url), namespace="default", pod_name="g-1", pod_uid="u-1")
    assert await report.write("{}")
    assert server.patches == [("g-1", {"metadata": {"uid": "u-1", "annotations": {"moe-operator.dev/report": "{}"}}})]


async def test_a_report_that_was_not_written_is_said_to_be_so(server: FakeApiServer) -> None:
    server.is_down = True
    report = PodReport(client.Configuration(host=server.url), namespace="default", pod_name="g-1", pod_uid="u-1")
    assert not await report.write("{}")
