import asyncio
from typing import Any

from moe_local.nodes.reporter import Reporter
from moe_local.nodes.status import ContainerView, PodView, running

Json = dict[str, Any]


class Told:
    """An API server that keeps what it is told of one pod."""

    def __init__(self) -> None:
        self.statuses: list[Json] = []

    async def patch(self, path: str, body: Json) -> Json:
        assert path == "/api/v1/namespaces/n/pods/p/status"
        self.statuses.append(body["status"])
        return body

    def conditions(self, ready: str) -> list[Json]:
        last = self.statuses[-1]["conditions"]
        return [one | ({"status": ready} if one["type"] == "Ready" else {}) for one in last]


def view() -> PodView:
    container = ContainerView(name="c", image="i", ready=True, started=True, state=running("2026-01-01T00:00:00Z"))
    return PodView(
        policy="Always", generation=1, init=[], containers=[container], pod_ip="10.244.0.2", host_ip="h", start_time="s"
    )


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def reporter_of(api: Told) -> Reporter:
    return Reporter(api, {"namespace": "n", "name": "p", "uid": "u"}, view, lambda: "2026-01-01T00:00:01Z")  # type: ignore[arg-type]


async def told_once(reporter: Reporter, api: Told) -> asyncio.Task[None]:
    """It runs, and has told how its pod is."""
    reporting = asyncio.create_task(reporter.run())
    reporter.changed()
    await turns()
    assert len(api.statuses) == 1
    return reporting


async def test_a_condition_that_others_wrote_over_is_told_again_and_no_other() -> None:
    api = Told()
    reporter = reporter_of(api)
    reporting = await told_once(reporter, api)

    reporter.recall([*api.conditions("True"), {"type": "Theirs", "status": "False"}])
    await turns()
    assert len(api.statuses) == 1

    reporter.recall(api.conditions("False"))
    await turns()
    assert len(api.statuses) == 2
    assert {one["type"]: one["status"] for one in api.statuses[-1]["conditions"]}["Ready"] == "True"
    reporting.cancel()


class Slow(Told):
    """One whose answers come only when they are let through."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()

    async def patch(self, path: str, body: Json) -> Json:
        told = await super().patch(path, body)
        await self.may_answer.wait()
        return told


async def test_what_others_write_over_while_the_answer_is_awaited_is_told_again() -> None:
    api = Slow()
    reporter = reporter_of(api)
    reporting = await told_once(reporter, api)

    reporter.recall(api.conditions("True"))
    reporter.recall(api.conditions("False"))
    api.may_answer.set()
    await turns()
    assert len(api.statuses) == 2

    reporter.recall(api.conditions("True"))
    await turns()
    assert len(api.statuses) == 2
    reporting.cancel()


async def test_a_report_that_was_cut_off_is_told_again() -> None:
    api = Slow()
    reporter = reporter_of(api)
    reporting = await told_once(reporter, api)
    reporting.cancel()
    await turns()

    api.may_answer.set()
    again = asyncio.create_task(reporter.run())
    reporter.changed()
    await turns()
    assert len(api.statuses) == 2
    again.cancel()
