"""The whole operator over an API server in memory: what a user sees when things come up, break and come back."""

from __future__ import annotations

from moe_api import names
from moe_operator import resources
from moe_operator.api import Json
from tests.moe_operator.world import NAMESPACE, World


def two_pods_a_stage(spec: Json) -> None:
    spec["hardware"] |= {"nodes": 4, "gpusPerNode": 2}


async def settled(world: World) -> World:
    await world.settle()
    return world


async def place_of(world: World, stage: str, rank: int) -> tuple[str, int]:
    status = next(one for one in (await world.stage(stage)).status.ranks if one.rank == rank)
    assert status.node is not None
    return status.node, status.gpu


async def test_a_deployment_comes_up_with_every_expert_hosted() -> None:
    world = await settled(World())

    assert await world.conditions() == {
        "Planned": "True LayoutPlanned",
        "Available": "True AllExpertsReady",
        "Progressing": "False Complete",
        "Degraded": "False Healthy",
    }
    status = await world.status()
    assert (status["experts"], status["coverage"], status["gpus"], status["replicas"]) == ("8/8", 1, "8/8", 1)
    assert len(await world.pods()) == len(await world.stages()) == 2


async def test_a_settled_world_is_left_alone() -> None:
    world = await settled(World())
    num_writes = len(world.api.writes)

    for _ in range(5):
        await world.run_operator()

    assert world.api.writes[num_writes:] == []


async def test_a_failed_gpu_loses_its_expert_to_another_rank_and_gets_it_back() -> None:
    world = await settled(World())
    pods = [(pod["metadata"]["name"], pod["metadata"]["uid"]) for pod in await world.pods()]
    node, gpu = await place_of(world, "small-r0-s00", 2)

    world.bad_gpus[node, gpu] = "XID 79"
    await world.settle()

    stage = await world.stage("small-r0-s00")
    assert [(expert.expert, expert.ranks) for expert in stage.spec.experts] == [(0, [0]), (1, [1]), (2, [0]), (3, [3])]
    assert [lane.rank for lane in stage.spec.lanes] == [0, 1, 1, 3]
    assert [(m.rank, m.reason, m.node, m.gpu) for m in stage.spec.masked] == [(2, "GPUFailed", node, gpu)]
    assert await world.conditions() | {"Degraded": "True RankMasked"} == await world.conditions()
    assert (await world.status())["experts"] == "8/8"
    assert [(pod["metadata"]["name"], pod["metadata"]["uid"]) for pod in await world.pods()] == pods
    events = await world.events()
    assert f"GPUFailed: rank 2 ({node} gpu {gpu}): XID 79" in events
    assert f"ExpertRehosted: expert 2 moved from rank 2 ({node} gpu {gpu}) to rank 0 ({node} gpu 0)" in events
    (move,) = stage.status.moves
    assert (move.rank, move.experts, move.lanes, move.to_ranks) == (2, [2], [2], [0, 1])
    assert move.load_ms is not None

    world.bad_gpus.clear()
    await world.settle()

    stage = await world.stage("small-r0-s00")
    assert [(expert.expert, expert.ranks) for expert in stage.spec.experts] == [(0, [0]), (1, [1]), (2, [2]), (3, [3])]
    assert [lane.rank for lane in stage.spec.lanes] == [0, 1, 2, 3]
    assert stage.spec.masked == []
    assert await world.conditions() | {"Degraded": "False Healthy"} == await world.conditions()


async def test_only_the_stage_of_a_failed_gpu_gets_a_new_epoch() -> None:
    world = await settled(World())
    before = {stage.metadata.name: stage.metadata.generation for stage in await world.stages()}

    world.bad_gpus[await place_of(world, "small-r0-s01", 5)] = "XID 79"
    await world.settle()

    after = {stage.metadata.name: stage.metadata.generation for stage in await world.stages()}
    assert after == before | {"small-r0-s01": before["small-r0-s01"] + 1}


async def test_a_deleted_pod_loses_its_experts_at_once_and_a_new_one_gets_them_back() -> None:
    world = await settled(World(two_pods_a_stage))
    await world.delete_pod("small-r0-s01-p1-a0")

    await world.run_operator()

    stage = await world.stage("small-r0-s01")
    survivors = {rank.rank for rank in stage.spec.ranks if rank.pod.endswith("p0-a0")}
    assert {rank for expert in stage.spec.experts for rank in expert.ranks} <= survivors
    assert {mask.reason for mask in stage.spec.masked} == {"PodLost"}

    await world.settle()

    stage = await world.stage("small-r0-s01")
    assert [expert.ranks for expert in stage.spec.experts] == [[rank.rank] for rank in stage.spec.ranks]
    assert stage.spec.masked == []
    assert "small-r0-s01-p1-a1" in [pod["metadata"]["name"] for pod in await world.pods()]
    assert await world.conditions() | {"Degraded": "False Healthy"} == await world.conditions()


async def test_a_lost_node_costs_its_pod_alone() -> None:
    world = await settled(World())
    node, _ = await place_of(world, "small-r0-s00", 0)
    others = [pod["metadata"]["uid"] for pod in await world.pods() if pod["spec"]["nodeName"] != node]

    world.api.remove(resources.NODES, "", node)
    await world.settle()

    assert ("force-delete", ("pods", NAMESPACE, "small-r0-s00-p0-a0")) in world.api.writes
    assert others[0] in [pod["metadata"]["uid"] for pod in await world.pods()]
    assert await world.conditions() | {"Available": "True AllExpertsReady"} == await world.conditions()


async def test_a_stage_without_a_rank_left_says_which_experts_are_lost_and_recovers() -> None:
    world = await settled(World(lambda spec: spec.update(failover={"breakerShare": 1})))
    for rank in range(4):
        world.bad_gpus[await place_of(world, "small-r0-s00", rank)] = "XID 79"

    await world.settle()

    assert (await world.conditions())["Available"] == "False ExpertsLost"
    message = next(c["message"] for c in (await world.status())["conditions"] if c["type"] == "Available")
    assert message.startswith("stage 0: experts 0, 1, 2, 3 lost: no rank is left to host")

    world.bad_gpus.clear()
    await world.settle()

    assert (await world.conditions())["Available"] == "True AllExpertsReady"


async def test_a_pod_that_was_never_ready_is_waited_for_and_costs_nothing() -> None:
    world = World()
    for number in (1, 2):
        world.api.remove(resources.NODES, "", f"node-{number}")

    await world.settle()

    conditions = {c["type"]: c for c in (await world.status())["conditions"]}
    assert conditions["Available"]["reason"] == "Starting"
    assert conditions["Progressing"]["message"].startswith("waiting for 1 of 2 pods: small-r0-s01-p0-a0: Unschedulable")
    assert all(stage.spec.masked == [] for stage in await world.stages())


async def test_a_refused_plan_creates_nothing_and_says_why() -> None:
    world = World()
    await world.edit(lambda spec: spec["hardware"].update(gpuMemory="1Mi"))

    await world.settle()

    conditions = {c["type"]: c for c in (await world.status())["conditions"]}
    assert (conditions["Planned"]["status"], conditions["Planned"]["reason"]) == ("False", "PlanRefused")
    assert "spec.hardware.gpuMemory" in conditions["Planned"]["message"]
    assert await world.stages() == [] == await world.pods()
    assert any(event.startswith("PlanRefused: spec.hardware.gpuMemory") for event in await world.events())


async def test_a_change_of_the_running_layout_is_refused_aloud_and_serving_goes_on() -> None:
    world = await settled(World())
    generation = (await world.status())["observedGeneration"]

    await world.edit(lambda spec: spec.update(engine={"maxStepTokens": 64}))
    await world.settle()

    status = await world.status()
    conditions = {c["type"]: c for c in status["conditions"]}
    assert status["reason"] == conditions["Planned"]["reason"] == "SpecChangeRefused"
    assert "spec.engine.maxStepTokens = 64: it is committed as 256" in conditions["Planned"]["message"]
    assert conditions["Available"]["status"] == "True"
    assert conditions["Available"]["observedGeneration"] == generation < status["observedGeneration"]
    assert [stage.spec.engine.max_step_tokens for stage in await world.stages()] == [256, 256]


async def test_failover_settings_reach_running_stages() -> None:
    world = await settled(World())

    await world.edit(lambda spec: spec.update(failover={"heartbeatSeconds": 5}))
    await world.settle()

    assert [stage.spec.failover.heartbeat_seconds for stage in await world.stages()] == [5, 5]
    assert (await world.conditions())["Planned"] == "True LayoutPlanned"


async def test_replicas_can_be_taken_away_and_none_is_left() -> None:
    world = await settled(World())

    await world.edit(lambda spec: spec.update(replicas=0))
    await world.settle()

    assert await world.stages() == [] == await world.pods()
    assert (await world.conditions())["Available"] == "False Stopped"


async def test_an_object_of_somebody_else_is_never_touched() -> None:
    world = World()
    name = names.secret_name(world.name)
    world.api.put(resources.SECRETS, {"metadata": {"name": name, "namespace": NAMESPACE}, "data": {"key": "theirs"}})

    await world.settle()

    assert (await world.conditions())["Planned"] == "False OwnerConflict"
    assert (await world.api.get(resources.SECRETS, NAMESPACE, name))["data"] == {"key": "theirs"}
    assert await world.stages() == []


async def test_without_a_gateway_pod_a_deployment_is_not_available() -> None:
    world = World()
    world.gateway_runs = False

    await world.settle()

    assert (await world.conditions())["Available"] == "False GatewayNotReady"


async def test_a_gpu_that_is_bad_from_the_start_does_not_stop_the_stage_from_coming_up() -> None:
    world = World()
    world.bad_gpus["node-0", 1] = "cannot open the device"

    await world.settle()

    assert (await world.conditions())["Available"] == "True AllExpertsReady"
    assert (await world.conditions())["Degraded"] == "True RankMasked"


async def test_a_replacement_keeps_away_from_a_node_with_a_quarantined_gpu() -> None:
    world = await settled(World())
    node, gpu = await place_of(world, "small-r0-s00", 2)
    world.bad_gpus[node, gpu] = "XID 79"
    await world.settle()

    await world.delete_pod("small-r0-s00-p0-a0")
    await world.run_operator()

    created = await world.api.get(resources.PODS, NAMESPACE, "small-r0-s00-p0-a1")
    (wish,) = created["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert wish["preference"]["matchExpressions"][0]["values"] == [node]
    assert wish["preference"]["matchExpressions"][0]["operator"] == "NotIn"
