"""Drills in a world whose supervisors carry them out and whose gateway tells what its requests met."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from moe_api import names
from moe_api.drill import CanaryReport
from moe_api.report import GpuHealth, Report, SeatReport
from moe_api.stage import MoEStage
from moe_operator import resources
from moe_operator.api import Json
from tests.moe_operator.test_faults import Fault
from tests.moe_operator.world import NAMESPACE, Crash, World

AT = "2026-01-01T00:00:00Z"
SECOND = "2026-01-01T01:00:00Z"


def drilling(**drill: Any) -> Callable[[Json], None]:
    """Declares a drill in the spec."""

    def change(spec: Json) -> None:
        spec["failover"] = {"drill": {"at": AT, **drill}}

    return change


class DrillWorld(World):
    """`met` are the figures that the gateway reports; `is_deaf` supervisors ignore drills."""

    def __init__(self, change: Callable[[Json], None]) -> None:
        super().__init__(change)
        self.met: dict[str, Any] = {}
        self.is_deaf = False
        self.incarnations: dict[int, int] = {}
        self.killed: set[str] = set()
        self.add_gateway("gateway-1")

    def add_gateway(self, name: str) -> None:
        labels = names.gateway_labels(self.name)
        metadata = {"name": name, "namespace": NAMESPACE, "labels": labels, "ownerReferences": [{"name": "none"}]}
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        self.api.put(resources.PODS, {"metadata": metadata, "spec": {"nodeName": "node-9"}, "status": status})

    async def run_nodes(self) -> None:
        await super().run_nodes()
        rehearsal = next((stage.spec.rehearsal for stage in await self.stages() if stage.spec.rehearsal), None)
        for pod in await self.api.list_objects(resources.PODS, NAMESPACE, names.gateway_labels(self.name)):
            if rehearsal is None or pod["metadata"]["name"] != rehearsal.gateway:
                continue
            is_final = rehearsal.over_since is not None
            told = CanaryReport(**{"name": rehearsal.name, "is_ready": True, "is_final": is_final} | self.met)
            annotations = {names.ANNOTATION_REPORT: told.to_json()}
            self.api.put(resources.PODS, pod | {"metadata": pod["metadata"] | {"annotations": annotations}})

    def report_of(self, pod: Json, stage: MoEStage) -> Report:
        report = super().report_of(pod, stage)
        return report.model_copy(update={"seats": [self._drilled(seat, stage) for seat in report.seats]})

    def _drilled(self, seat: SeatReport, stage: MoEStage) -> SeatReport:
        drill = stage.spec.drill
        if drill is not None and drill.rank == seat.rank and not self.is_deaf:
            if drill.failure == "device" and self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ") < drill.until:
                health = GpuHealth(healthy=False, reason=f"drill {drill.name}", is_rehearsed=True)
                return seat.model_copy(update={"state": "failed", "experts": [], "gpu": health})
            if drill.failure != "device" and drill.name not in self.killed:
                self.killed.add(drill.name)
                self.incarnations[seat.rank] = 2
        return seat.model_copy(update={"incarnation": self.incarnations.get(seat.rank, 1)})

    async def drills(self) -> list[tuple[str, str]]:
        return [(drill["name"], drill["verdict"]) for drill in (await self.status()).get("drills", [])]

    async def last(self) -> Json:
        found: Json = (await self.status())["drills"][-1]
        return found

    async def wait(self, seconds: float) -> None:
        await self.live()
        self.clock.seconds += seconds
        await self.live()

    async def live(self) -> None:
        """Settle; a crashed operator is started again."""
        while True:
            try:
                await self.settle()
                return
            except Crash:
                continue


async def test_a_killed_process_is_rehearsed_and_passed() -> None:
    world = DrillWorld(drilling(streams=2))
    await world.wait(10)

    assert await world.drills() == [(AT, "passed")]
    drill = await world.last()
    assert (drill["failure"], drill["stage"], drill["stallMs"], drill["failedRequests"]) == ("exit", 0, 0, 0)
    assert world.incarnations == {drill["rank"]: 2}
    told = [event for event in await world.events() if event.startswith("Drill")]
    assert sorted(event.split(":")[0] for event in told) == ["DrillPassed", "DrillStarted"]
    for stage in await world.stages():
        assert (stage.spec.rehearsal, stage.spec.drill) == (None, None)


async def test_a_drill_is_made_once() -> None:
    world = DrillWorld(drilling())
    await world.wait(10)
    num_writes = len(world.api.writes)

    await world.wait(3600)

    assert world.api.writes[num_writes:] == []


async def test_a_new_time_is_a_new_drill_in_the_next_stage() -> None:
    world = DrillWorld(drilling())
    await world.wait(10)

    await world.edit(drilling(at=SECOND))
    await world.settle()
    assert await world.drills() == [(AT, "passed")]

    await world.wait(3600)
    await world.wait(10)
    assert await world.drills() == [(AT, "passed"), (SECOND, "passed")]
    assert [drill["stage"] for drill in (await world.status())["drills"]] == [0, 1]


async def test_a_schedule_makes_only_the_last_drill_that_was_missed() -> None:
    world = DrillWorld(drilling(every="1h"))
    world.clock.seconds = 2.5 * 3600
    await world.wait(10)

    assert await world.drills() == [("2026-01-01T02:00:00Z", "passed")]


async def test_a_broken_gpu_is_moved_away_from_and_returned_to() -> None:
    world = DrillWorld(drilling(failure="device", stage=1))
    await world.settle()
    assert await world.drills() == [(AT, "running")]
    assert (await world.conditions())["Degraded"].startswith("True")

    await world.wait(30)
    await world.wait(30)
    assert await world.drills() == [(AT, "passed")]
    assert (await world.conditions())["Degraded"] == "False Healthy"


async def test_nothing_is_drilled_on_top_of_trouble() -> None:
    world = DrillWorld(lambda spec: None)
    await world.settle()
    seat = (await world.stage("small-r0-s00")).status.ranks[0]
    assert seat.node is not None
    world.bad_gpus[seat.node, seat.gpu] = "XID 79"
    await world.settle()

    await world.edit(drilling())
    await world.settle()
    assert await world.drills() == [(AT, "waiting")]
    assert "XID 79" in (await world.last())["message"]

    world.bad_gpus.clear()
    await world.wait(30)
    await world.wait(30)
    assert await world.drills() == [(AT, "passed")]


async def test_a_drill_that_would_lose_a_lane_is_refused() -> None:
    def tight(spec: Json) -> None:
        drilling(failure="device")(spec)
        spec["engine"] = spec.get("engine", {}) | {"lanesPerRank": 1}

    world = DrillWorld(tight)
    await world.settle()

    assert await world.drills() == [(AT, "refused")]
    assert "has no room for lane" in (await world.last())["message"]
    assert all(stage.spec.drill is None for stage in await world.stages())


async def test_a_stage_that_is_not_there_is_refused_by_its_number() -> None:
    world = DrillWorld(drilling(stage=7))
    await world.settle()

    assert (await world.last())["message"].startswith("spec.failover.drill.stage = 7: the stages are 0 to 1")


async def test_a_stall_fails_the_drill() -> None:
    world = DrillWorld(drilling(stallBelow="300ms"))
    world.met = {"stall_ms": 300}
    await world.wait(10)

    assert await world.drills() == [(AT, "failed")]
    assert "longest wait for a token 300 ms, below 300ms is wanted" in (await world.last())["message"]


async def test_a_hang_may_take_the_heartbeat_longer() -> None:
    for stall_ms, verdict in ((2299, "passed"), (2300, "failed")):
        world = DrillWorld(drilling(failure="hang", stallBelow="300ms"))
        world.met = {"stall_ms": stall_ms}
        await world.wait(10)
        assert await world.drills() == [(AT, verdict)]
    assert "longest wait for a token 2300 ms, below 2.3s is wanted" in (await world.last())["message"]


async def test_a_failed_request_and_a_wrong_answer_fail_the_drill() -> None:
    world = DrillWorld(drilling())
    world.met = {"failed": 1, "reason": "no capacity", "wrong": 2}
    await world.wait(10)

    message = (await world.last())["message"]
    assert "1 failed requests (no capacity); 2 answers with other tokens" in message


async def test_a_failure_that_never_comes_fails_the_drill() -> None:
    world = DrillWorld(drilling())
    world.is_deaf = True
    await world.wait(1000)

    assert await world.drills() == [(AT, "failed")]
    assert "was never seen to fail" in (await world.last())["message"]


async def test_nothing_is_made_to_fail_before_every_request_has_tokens() -> None:
    world = DrillWorld(drilling())
    world.met = {"is_ready": False}
    await world.wait(29)
    assert (await world.drills(), world.killed) == ([(AT, "running")], set())

    await world.wait(10)
    assert (await world.drills(), world.killed) == ([(AT, "refused")], set())
    assert "had no tokens" in (await world.last())["message"]


async def test_a_real_failure_before_the_rehearsed_one_calls_it_off() -> None:
    world = DrillWorld(drilling())
    world.met = {"is_ready": False}
    await world.settle()
    seat = (await world.stage("small-r0-s01")).status.ranks[0]
    assert seat.node is not None
    world.bad_gpus[seat.node, seat.gpu] = "XID 79"
    await world.wait(10)

    assert (await world.drills(), world.killed) == ([(AT, "refused")], set())
    assert "a failure that is no drill came first" in (await world.last())["message"]


async def test_a_drill_that_is_taken_out_in_time_is_called_off() -> None:
    world = DrillWorld(drilling())
    world.met = {"is_ready": False}
    await world.settle()
    await world.edit(lambda spec: spec.pop("failover"))
    await world.wait(10)

    assert (await world.drills(), world.killed) == ([(AT, "refused")], set())
    assert "taken out" in (await world.last())["message"]


async def test_without_its_gateway_nothing_is_proved() -> None:
    world = DrillWorld(drilling())
    world.is_deaf = True
    await world.settle()
    world.api.remove(resources.PODS, NAMESPACE, "gateway-1")
    await world.wait(20)

    assert await world.drills() == [(AT, "failed")]
    assert "gateway pod gateway-1" in (await world.last())["message"]


async def test_a_gateway_that_began_anew_has_forgotten_what_its_requests_met() -> None:
    world = DrillWorld(drilling())
    world.is_deaf = True
    await world.settle()
    pod = await world.api.get(resources.PODS, NAMESPACE, "gateway-1")
    running = {"state": {"running": {"startedAt": "2026-01-01T00:00:30Z"}}}
    world.api.put(resources.PODS, pod | {"status": pod["status"] | {"containerStatuses": [running]}})
    await world.wait(20)

    assert await world.drills() == [(AT, "failed")]
    assert "gone or began anew" in (await world.last())["message"]


@pytest.mark.parametrize("is_after", [False, True])
async def test_a_crash_at_a_write_makes_the_drill_once(is_after: bool) -> None:
    quiet, counting = DrillWorld(lambda spec: None), DrillWorld(drilling())
    await quiet.wait(10)
    await counting.wait(10)
    for strike in range(len(quiet.api.writes) + 1 + is_after, len(counting.api.writes) + 1, 2):
        fault = Fault(strike, Crash)
        world = DrillWorld(drilling())
        if is_after:
            world.api.after_write = fault
        else:
            world.api.before_write = fault
        await world.wait(10)
        assert (await world.drills(), len(world.killed)) == ([(AT, "passed")], 1), f"write {strike}"
        assert all(stage.spec.rehearsal is None and stage.spec.drill is None for stage in await world.stages())


async def test_one_request_is_in_a_lane_of_the_rank_that_fails() -> None:
    world = DrillWorld(drilling(stage=1))
    world.is_deaf = True
    await world.settle()

    first, second = await world.stages()
    assert first.spec.rehearsal is not None
    (lane,) = [lane.lane for lane in second.spec.lanes if lane.rank == first.spec.rehearsal.rank]
    assert first.spec.lanes[lane].rank == first.spec.rehearsal.head


async def test_a_drill_without_a_gateway_waits() -> None:
    world = DrillWorld(drilling())
    world.api.remove(resources.PODS, NAMESPACE, "gateway-1")
    await world.settle()

    assert await world.drills() == [(AT, "waiting")]


async def test_a_stages_failover_does_not_change_with_a_drill() -> None:
    world = DrillWorld(lambda spec: None)
    await world.settle()
    before = [stage.metadata.generation for stage in await world.stages()]

    await world.edit(drilling(at=SECOND))
    await world.settle()

    assert [stage.metadata.generation for stage in await world.stages()] == before


async def test_of_several_replicas_one_is_drilled_and_the_others_are_left_alone() -> None:
    def twice(spec: Json) -> None:
        drilling()(spec)
        spec["replicas"] = 2
        spec["hardware"] |= {"nodes": 4}

    world = DrillWorld(twice)
    await world.wait(10)

    assert await world.drills() == [(AT, "passed")]
    drilled = f"small-r{(await world.last())['replica']}-s00"
    epochs = {stage.metadata.name: stage.metadata.generation for stage in await world.stages()}
    assert len(epochs) == 4
    quiet = {epoch for name, epoch in epochs.items() if name != drilled}
    assert len(quiet) == 1
    assert epochs[drilled] > quiet.pop()
