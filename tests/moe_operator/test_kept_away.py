"""The operator over an API server in memory: what is kept away from hosting although it runs, and how it comes back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from moe_api.conditions import rfc3339
from moe_operator import resources
from moe_operator.api import Json
from tests.moe_operator.test_reconcile import place_of, settled, two_pods_a_stage
from tests.moe_operator.world import World


def two_pods_a_stage_that_move_at_once(spec: Json) -> None:
    two_pods_a_stage(spec)
    spec["failover"] = {"drainSeconds": 0}


async def test_a_gpu_that_heals_hosts_again_after_its_quarantine_which_a_new_failure_doubles() -> None:
    world = await settled(World(lambda spec: spec.update(failover={"drainSeconds": 0})))
    node, gpu = await place_of(world, "small-r0-s00", 2)

    for quarantine in (10, 20):
        world.bad_gpus[node, gpu] = "XID 79"
        await world.settle()
        world.bad_gpus.clear()
        healed = world.clock.seconds
        await world.settle()
        assert (await world.stage("small-r0-s00")).spec.masked == []
        assert quarantine <= world.clock.seconds - healed < quarantine + 2

    (record,) = (await world.stage("small-r0-s00")).spec.history
    assert (record.node, record.gpu, record.failures) == (node, gpu, 2)


@pytest.mark.parametrize("by_uuid", [False, True])
async def test_a_persons_word_ends_a_quarantine(by_uuid: bool) -> None:
    world = await settled(World(lambda spec: spec.update(failover={"quarantineSeconds": 3600, "drainSeconds": 0})))
    node, gpu = await place_of(world, "small-r0-s00", 2)
    world.bad_gpus[node, gpu] = "XID 79"
    await world.settle()
    world.bad_gpus.clear()
    healed = world.clock.seconds
    for _ in range(3):
        await world.run_nodes()
        await world.run_operator()
    assert [mask.rank for mask in (await world.stage("small-r0-s00")).spec.masked] == [2]

    named = {"uuid": f"{node}/{gpu}"} if by_uuid else {"gpu": gpu}
    word = {"node": node, "at": rfc3339(world.clock.now()), **named}
    await world.edit(lambda spec: spec["failover"].update(cleared=[word]))
    await world.settle()

    stage = await world.stage("small-r0-s00")
    assert (stage.spec.masked, stage.spec.history) == ([], [])
    assert world.clock.seconds - healed < 10
    assert (
        f"QuarantineCleared: {node} gpu {gpu}: failover.cleared names it; 1 failure forgotten" in await world.events()
    )


async def test_in_a_storm_nothing_moves_until_a_person_says_so() -> None:
    world = await settled(World(lambda spec: spec.update(engine={"lanesPerRank": 4}, failover={})))
    hosts = [[expert.ranks for expert in stage.spec.experts] for stage in await world.stages()]
    for stage, ranks in (("small-r0-s00", (0, 1)), ("small-r0-s01", (4, 5))):
        for rank in ranks:
            world.bad_gpus[await place_of(world, stage, rank)] = "XID 79"

    await world.run_nodes()
    await world.settle()

    stages = await world.stages()
    assert [[expert.ranks for expert in stage.spec.experts] for stage in stages] == hosts
    assert [stage.spec.masked for stage in stages] == [[], []]
    assert all(stage.spec.paused for stage in stages)
    assert any(event.startswith("BreakerOpen: 4 of 8 GPUs failed within 30 s") for event in await world.events())

    word = {"breakerReleased": rfc3339(world.clock.now() + timedelta(seconds=1))}
    await world.edit(lambda spec: spec["failover"].update(word))
    await world.settle()

    stages = await world.stages()
    assert [[mask.rank for mask in stage.spec.masked] for stage in stages] == [[0, 1], [4, 5]]
    assert [stage.spec.paused for stage in stages] == [None, None]
    assert (await world.conditions())["Available"] == "True AllExpertsReady"
    assert "BreakerClosed: failed GPUs are acted on again" in await world.events()


async def test_the_first_stage_is_told_of_lanes_that_another_has_no_rank_for_until_it_has() -> None:
    world = await settled(World(lambda spec: spec.update(engine={"lanesPerRank": 1}, failover={"breakerShare": 1})))
    place = await place_of(world, "small-r0-s01", 5)
    world.bad_gpus[place] = "XID 79"
    await world.settle()
    assert [lane.rank for lane in (await world.stage("small-r0-s01")).spec.lanes] == [4, None, 6, 7]
    assert (await world.stage("small-r0-s00")).spec.draining_lanes == [1]

    del world.bad_gpus[place]
    await world.settle()
    assert [lane.rank for lane in (await world.stage("small-r0-s01")).spec.lanes] == [4, 5, 6, 7]
    assert (await world.stage("small-r0-s00")).spec.draining_lanes == []


async def test_a_host_that_nobody_hears_is_left_and_hosts_again_when_it_is_heard() -> None:
    world = await settled(World(two_pods_a_stage_that_move_at_once))
    pods = sorted(pod["metadata"]["uid"] for pod in await world.pods())
    node, _ = await place_of(world, "small-r0-s00", 3)

    world.cut_off.add(node)
    for _ in range(8):
        await world.run_nodes()
        world.clock.seconds += 0.5
        await world.run_operator()

    stage = await world.stage("small-r0-s00")
    assert [expert.ranks for expert in stage.spec.experts] == [[0], [1], [0], [1]]
    assert [(mask.rank, mask.reason) for mask in stage.spec.masked] == [(2, "HostSilent"), (3, "HostSilent")]
    assert (await world.conditions())["Degraded"] == "True HostSilent"
    assert (await world.conditions())["Available"] == "True AllExpertsReady"

    world.cut_off.clear()
    await world.settle()

    stage = await world.stage("small-r0-s00")
    assert [expert.ranks for expert in stage.spec.experts] == [[0], [1], [2], [3]]
    assert sorted(pod["metadata"]["uid"] for pod in await world.pods()) == pods
    assert [(record.node, record.gpu, record.failures) for record in stage.spec.history] == [(node, None, 1)]


async def test_a_host_that_stays_silent_is_replaced_on_another_node() -> None:
    world = await settled(World(two_pods_a_stage))
    node, _ = await place_of(world, "small-r0-s00", 3)

    world.cut_off.add(node)
    await world.run_nodes()
    await world.settle()

    assert (await place_of(world, "small-r0-s00", 3))[0] == "node-4"
    assert await world.conditions() | {"Degraded": "False Healthy"} == await world.conditions()


async def test_a_slow_gpu_is_left_and_tried_again_ever_later() -> None:
    world = await settled(World(lambda spec: spec.update(failover={"drainSeconds": 0})))
    node, gpu = await place_of(world, "small-r0-s00", 2)
    world.slow_gpus.add((node, gpu))

    for _ in range(30):
        await world.run_nodes()
        world.clock.seconds += 5
        await world.run_operator()

    stage = await world.stage("small-r0-s00")
    assert [(record.gpu, record.failures) for record in stage.spec.history] == [(gpu, 2)], "at 0 s and after 60 s"
    assert all(2 not in expert.ranks for expert in stage.spec.experts)
    assert (await world.conditions())["Degraded"] == "True GPUSlow"

    world.slow_gpus.clear()
    await world.settle()

    assert [expert.ranks for expert in (await world.stage("small-r0-s00")).spec.experts] == [[0], [1], [2], [3]]
    assert await world.conditions() | {"Degraded": "False Healthy"} == await world.conditions()


async def test_a_gpu_that_others_call_bad_is_left_before_anything_stops() -> None:
    world = await settled(World(lambda spec: spec.update(failover={"drainSeconds": 0})))
    node, gpu = await place_of(world, "small-r0-s00", 2)
    body = await world.api.get(resources.NODES, None, node)
    message = f"ErrorCode:79 gpu:{gpu} GPU has fallen off the bus"
    sign = {"type": "GpuXidError", "status": "True", "message": message}
    status = body["status"] | {"conditions": [*body["status"]["conditions"], sign]}

    world.api.put(resources.NODES, body | {"status": status})
    await world.settle()

    stage = await world.stage("small-r0-s00")
    assert [expert.ranks for expert in stage.spec.experts] == [[0], [1], [0], [3]]
    assert stage.spec.masked == []
    assert (await world.conditions())["Degraded"] == "True GPUReportedBad"

    world.api.put(resources.NODES, body)
    await world.settle()

    assert [expert.ranks for expert in (await world.stage("small-r0-s00")).spec.experts] == [[0], [1], [2], [3]]
    assert await world.conditions() | {"Degraded": "False Healthy"} == await world.conditions()
