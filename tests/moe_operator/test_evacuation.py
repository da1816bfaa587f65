"""GPUs and nodes that are emptied while they serve: nothing stops before it goes on elsewhere."""

from __future__ import annotations

from moe_api import names
from moe_api.report import Report
from moe_api.stage import MoEStage
from moe_operator import resources
from moe_operator.api import Json
from tests.moe_operator.world import NAMESPACE, World

STAGE = "small-r0-s01"


def two_pods_a_stage(spec: Json) -> None:
    spec["hardware"] |= {"nodes": 4, "gpusPerNode": 2}


async def settled() -> World:
    """Ranks 4 and 5 of stage 1 are on one node, 6 and 7 on another."""
    world = World(two_pods_a_stage)
    await world.settle()
    return world


async def node_of(world: World, rank: int) -> str:
    node = next(one.node for one in (await world.stage(STAGE)).status.ranks if one.rank == rank)
    assert node is not None
    return node


async def evacuate(world: World, *places: Json) -> None:
    await world.edit(lambda spec: spec.update(failover={"evacuate": list(places)}))


def cordon(world: World, node: str, is_cordoned: bool = True) -> None:
    world.api.put(resources.NODES, {"metadata": {"name": node}, "spec": {"unschedulable": is_cordoned}})


def hosts(stage: MoEStage) -> dict[int, tuple[list[int], list[int]]]:
    return {expert.expert: (expert.ranks, expert.loading) for expert in stage.spec.experts}


def seats(stage: MoEStage) -> list[int | None]:
    return [lane.rank for lane in stage.spec.lanes]


async def test_an_evacuated_gpu_serves_until_another_has_loaded_its_expert() -> None:
    world = await settled()
    node = await node_of(world, 6)

    await evacuate(world, {"node": node, "gpu": 0})
    await world.run_operator()
    await world.run_operator()

    loading = await world.stage(STAGE)
    assert hosts(loading)[6] == ([6], [4])
    assert seats(loading) == [4, 5, 6, 7]

    await world.run_nodes()
    await world.run_operator()
    switched = await world.stage(STAGE)
    assert hosts(switched)[6] == ([4], [])
    assert seats(switched) == [4, 5, 6, 7], "its lane ends what it has first"

    await world.settle()
    left = await world.stage(STAGE)
    assert seats(left) == [4, 5, 5, 7]
    assert left.spec.masked == []
    assert (await world.conditions())["Degraded"] == "False Healthy"


async def test_what_loads_together_is_switched_to_by_one_commit() -> None:
    world = await settled()
    world.still_loading = {(7, 5)}
    await evacuate(world, {"node": await node_of(world, 6)})
    for _ in range(3):
        await world.run_operator()
        await world.run_nodes()

    assert {expert: hosts(await world.stage(STAGE))[expert] for expert in (6, 7)} == {6: ([6], [4]), 7: ([7], [5])}

    world.still_loading = set()
    await world.run_nodes()
    await world.run_operator()
    assert {expert: hosts(await world.stage(STAGE))[expert] for expert in (6, 7)} == {6: ([4], []), 7: ([5], [])}


async def test_an_expert_that_nobody_holds_does_not_wait_for_what_else_loads() -> None:
    world = await settled()
    gpu = (await node_of(world, 6), 0)
    world.bad_gpus[gpu] = "XID 79"
    world.still_loading = {(6, rank) for rank in (4, 5, 7)} | {(7, 4), (7, 5)}
    for _ in range(3):
        await world.run_nodes()
        await world.run_operator()
    assert 6 not in hosts(await world.stage(STAGE))[6][0]

    del world.bad_gpus[gpu]
    await evacuate(world, {"node": gpu[0], "gpu": 1})
    for _ in range(6):
        await world.run_nodes()
        await world.run_operator()
        world.clock.seconds += 5

    after = hosts(await world.stage(STAGE))
    assert after[7][0] == [7]
    assert after[7][1] != []
    assert 6 in after[6][0]


async def test_no_pod_and_no_other_stage_is_touched_by_an_evacuation() -> None:
    world = await settled()
    pods = [pod["metadata"]["uid"] for pod in await world.pods()]
    other = (await world.stage("small-r0-s00")).spec

    await evacuate(world, {"node": await node_of(world, 6)})
    await world.settle()

    after = (await world.stage("small-r0-s00")).spec
    assert [pod["metadata"]["uid"] for pod in await world.pods()] == pods
    assert (after.experts, after.lanes, after.draining_lanes) == (other.experts, other.lanes, [])


async def test_a_lane_is_drained_for_so_long_and_the_gateways_are_told() -> None:
    world = await settled()
    await evacuate(world, {"node": await node_of(world, 6)})
    for _ in range(3):
        await world.run_operator()
    began = world.clock.seconds

    assert (await world.stage("small-r0-s00")).spec.draining_lanes == [2, 3]
    world.clock.seconds = began + 9
    await world.run_operator()
    assert seats(await world.stage(STAGE)) == [4, 5, 6, 7]
    world.clock.seconds = began + 11
    await world.run_operator()
    assert seats(await world.stage(STAGE)) == [4, 5, 4, 5]
    await world.run_operator()
    assert (await world.stage("small-r0-s00")).spec.draining_lanes == []


async def test_a_cordoned_node_is_emptied_and_filled_again_when_it_is_uncordoned() -> None:
    world = await settled()
    node = await node_of(world, 6)

    cordon(world, node)
    await world.settle()

    emptied = await world.stage(STAGE)
    assert hosts(emptied) == {4: ([4], []), 5: ([5], []), 6: ([4], []), 7: ([5], [])}
    assert seats(emptied) == [4, 5, 4, 5]
    events = await world.events()
    assert (
        f"Evacuating: ranks 6, 7 ({node}): node {node} is cordoned; what they hold is loaded elsewhere first" in events
    )
    assert f"Evacuated: ranks 6, 7 ({node}): node {node} is cordoned; nothing is left on them" in events
    assert [move.cause for move in emptied.status.moves if 6 in move.experts] == [
        f"NodeCordoned: node {node} is cordoned"
    ]

    cordon(world, node, is_cordoned=False)
    await world.settle()

    home = await world.stage(STAGE)
    assert hosts(home) == {4: ([4], []), 5: ([5], []), 6: ([6], []), 7: ([7], [])}
    assert seats(home) == [4, 5, 6, 7]


async def test_what_nobody_else_can_take_stays_and_is_told() -> None:
    world = await settled()

    for node in {await node_of(world, rank) for rank in (4, 6)}:
        cordon(world, node)
    await world.settle()

    stage = await world.stage(STAGE)
    assert hosts(stage) == {expert: ([expert], []) for expert in (4, 5, 6, 7)}
    assert (await world.conditions())["Available"] == "True AllExpertsReady"
    progressing = next(c for c in stage.status.conditions if c.type == "Progressing")
    assert (progressing.status, progressing.reason) == ("True", "NodeCordoned")
    assert progressing.message.endswith(
        "ranks 4, 5, 6, 7 still hold experts 4, 5, 6, 7, lanes 0, 1, 2, 3: no other rank has room"
    )


async def test_a_gpu_that_dies_while_it_is_left_is_taken_over_by_whoever_is_loading() -> None:
    world = await settled()
    node = await node_of(world, 6)
    await evacuate(world, {"node": node, "gpu": 0})
    await world.run_operator()
    await world.run_operator()
    assert hosts(await world.stage(STAGE))[6] == ([6], [4])

    world.bad_gpus[node, 0] = "XID 79"
    await world.run_nodes()
    await world.run_operator()

    stage = await world.stage(STAGE)
    assert hosts(stage)[6] == ([4], [])
    assert 6 not in seats(stage)


async def test_a_leaving_gpu_hosts_again_when_nothing_else_is_left() -> None:
    world = await settled()
    node, other = await node_of(world, 4), await node_of(world, 6)
    await evacuate(world, {"node": other, "gpu": 0})
    await world.settle()

    for place in ((node, 0), (node, 1), (other, 1)):
        world.bad_gpus[place] = "XID 79"
    await world.settle()

    stage = await world.stage(STAGE)
    assert hosts(stage) == {expert: ([6], []) for expert in (4, 5, 6, 7)}


async def test_a_pod_that_is_replaced_keeps_away_from_an_evacuated_node() -> None:
    world = await settled()
    node = await node_of(world, 6)
    await evacuate(world, {"node": node})
    await world.settle()

    await world.delete_pod(f"{STAGE}-p1-a0")
    await world.settle()

    stage = await world.stage(STAGE)
    assert await node_of(world, 6) != node
    assert seats(stage) == [4, 5, 6, 7]
    assert hosts(stage) == {expert: ([expert], []) for expert in (4, 5, 6, 7)}


async def test_only_the_stages_on_a_node_are_told_of_its_evacuation_and_others_keep_away_all_the_same() -> None:
    world = await settled()
    node, other = await node_of(world, 6), "small-r0-s00"
    before = (await world.stage(other)).spec.failover
    await evacuate(world, {"node": node})
    await world.settle()

    assert (await world.stage(other)).spec.failover == before
    assert [place.node for place in (await world.stage(STAGE)).spec.failover.evacuate] == [node]

    gone = next(rank.node for rank in (await world.stage(other)).status.ranks)
    assert gone is not None
    world.api.put(resources.NODES, {"metadata": {"name": gone}, "spec": {"unschedulable": True}})
    await world.delete_pod(f"{other}-p0-a0")
    await world.run_operator()
    pod = next(pod for pod in await world.pods() if pod["metadata"]["name"] == f"{other}-p0-a1")
    assert node in str(pod["spec"]["affinity"]), "a stage that makes a pod asks the others"

    await evacuate(world)
    await world.settle()
    assert (await world.stage(STAGE)).spec.failover.evacuate == []


async def test_all_stages_are_told_of_a_node_that_none_of_them_is_on() -> None:
    world = await settled()
    used = {rank.node for stage in await world.stages() for rank in stage.status.ranks}
    spare = next(name for name in (f"node-{number}" for number in range(5)) if name not in used)
    await evacuate(world, {"node": spare})
    await world.settle()
    for stage in await world.stages():
        assert [place.node for place in stage.spec.failover.evacuate] == [spare]


async def test_loads_of_an_evacuation_keep_to_the_budget() -> None:
    world = World(lambda spec: (two_pods_a_stage(spec), spec.update(failover={"loadsAtOnce": 1}))[0])
    await world.settle()
    cordon(world, await node_of(world, 6))

    most = 0
    for _ in range(6):
        await world.run_operator()
        stage = await world.stage(STAGE)
        most = max(most, sum(len(loading) for _, loading in hosts(stage).values()))
        await world.run_nodes()
    await world.settle()

    assert most == 1
    assert hosts(await world.stage(STAGE)) == {4: ([4], []), 5: ([5], []), 6: ([4], []), 7: ([5], [])}


async def holding(world: World) -> dict[str, str]:
    """The label of every pod of stage 1, by the pod's name."""
    pods = [pod["metadata"] for pod in await world.pods() if pod["metadata"]["name"].startswith(STAGE)]
    return {pod["name"]: pod["labels"][names.LABEL_HOLDING] for pod in pods}


async def test_every_stage_has_a_budget_that_lets_none_of_its_pods_go() -> None:
    world = await settled()

    budgets = await world.api.list_objects(resources.BUDGETS, NAMESPACE, {})

    assert [budget["metadata"]["name"] for budget in budgets] == ["small-r0-s00", STAGE]
    labels = [pod["metadata"]["labels"] for pod in await world.pods()]
    for budget in budgets:
        selected = budget["spec"]["selector"]["matchLabels"].items()
        assert budget["spec"]["minAvailable"] == sum(1 for own in labels if selected <= own.items()) == 2


async def test_a_pod_may_be_evicted_once_it_is_empty_and_no_sooner() -> None:
    world = await settled()
    assert await holding(world) == {f"{STAGE}-p0-a0": "true", f"{STAGE}-p1-a0": "true"}
    node = await node_of(world, 6)
    cordon(world, node)

    for _ in range(3):
        await world.run_operator()
        await world.run_nodes()
    world.clock.seconds += 10
    await world.run_operator()
    assert seats(await world.stage(STAGE)) == [4, 5, 4, 5]
    await world.run_operator()
    assert (await holding(world))[f"{STAGE}-p1-a0"] == "true", "not everybody knows yet that it is empty"

    await world.settle()

    assert await holding(world) == {f"{STAGE}-p0-a0": "true", f"{STAGE}-p1-a0": "false"}
    assert [one["metadata"]["name"] for one in await world.pods() if one["spec"]["nodeName"] == node] == [
        f"{STAGE}-p1-a0"
    ]


class StuckWorld(World):
    """The first pod of stage 1 never applies another layout than its first."""

    def report_of(self, pod: Json, stage: MoEStage) -> Report:
        report = super().report_of(pod, stage)
        is_stuck = pod["metadata"]["name"].startswith(f"{STAGE}-p0")
        return report.model_copy(update={"epoch": 1}) if is_stuck else report


async def test_a_pod_that_never_learns_that_another_is_empty_holds_it_back_no_longer_than_the_lanes_drain() -> None:
    world = StuckWorld(two_pods_a_stage)
    await world.settle()
    cordon(world, await node_of(world, 6))
    while 6 in seats(await world.stage(STAGE)):
        await world.run_operator()
        await world.run_nodes()
        world.clock.seconds += 1
    emptied = world.clock.seconds

    world.clock.seconds = emptied + 7
    await world.run_operator()
    assert (await holding(world))[f"{STAGE}-p1-a0"] == "true"

    world.clock.seconds = emptied + 11
    await world.run_operator()
    assert await holding(world) == {f"{STAGE}-p0-a0": "true", f"{STAGE}-p1-a0": "false"}


async def test_an_evicted_pod_comes_back_elsewhere_and_is_protected_again() -> None:
    world = await settled()
    node = await node_of(world, 6)
    cordon(world, node)
    await world.settle()

    await world.delete_pod(f"{STAGE}-p1-a0")
    await world.settle()

    assert await node_of(world, 6) != node
    assert await holding(world) == {f"{STAGE}-p0-a0": "true", f"{STAGE}-p1-a1": "true"}
    assert seats(await world.stage(STAGE)) == [4, 5, 6, 7]


async def test_a_budget_of_somebody_else_is_not_touched_and_is_told() -> None:
    world = World()
    theirs = {"metadata": {"name": STAGE, "namespace": NAMESPACE}, "spec": {"maxUnavailable": 3}}
    world.api.put(resources.BUDGETS, theirs)

    await world.settle()

    assert (await world.conditions())["Planned"] == "False OwnerConflict"
    assert (await world.api.get(resources.BUDGETS, NAMESPACE, STAGE))["spec"] == {"maxUnavailable": 3}
