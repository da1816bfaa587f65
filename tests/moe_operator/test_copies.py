"""Copies as a user patches them while stages serve: hosts come and go, pods and first hosts stay."""

from __future__ import annotations

from typing import Any

from moe_api.notes import accepted_spec
from moe_api.report import FailedExpert, Report, SeatReport
from moe_api.stage import MoEStage
from moe_operator import resources
from moe_operator.api import Json
from moe_operator.errors import Unavailable
from tests.moe_operator.world import World

CORDON = {"unschedulable": True}


def two_pods_a_stage(spec: Json) -> None:
    spec["hardware"] |= {"nodes": 4, "gpusPerNode": 2}


async def settled() -> World:
    world = World(two_pods_a_stage)
    await world.settle()
    return world


async def hosts(world: World) -> dict[int, list[int]]:
    return {expert.expert: expert.ranks for stage in await world.stages() for expert in stage.spec.experts}


async def patch(world: World, **experts: Any) -> list[MoEStage]:
    """What the stages were after each pass of the operator until all was at rest."""
    await world.edit(lambda spec: spec.update(experts=experts))
    seen: list[MoEStage] = []
    for _ in range(12):
        await world.run_operator()
        seen += await world.stages()
        await world.run_nodes()
    await world.settle()
    return seen


async def test_copies_are_added_and_taken_away_while_every_expert_is_served() -> None:
    world = await settled()
    one_each = await hosts(world)
    pods = [(pod["metadata"]["name"], pod["metadata"]["uid"]) for pod in await world.pods()]
    assert one_each == {expert: [expert] for expert in range(8)}

    seen = await patch(world, copies=2)

    assert await hosts(world) == {
        0: [0, 2],
        1: [1, 3],
        2: [2, 0],
        3: [3, 1],
        4: [4, 6],
        5: [5, 7],
        6: [6, 4],
        7: [7, 5],
    }
    assert all(expert.ranks[0] == expert.expert for stage in seen for expert in stage.spec.experts)
    assert (await world.status())["coverage"] == 2
    assert (await world.conditions())["Degraded"] == "False Healthy"
    assert [accepted_spec(stage).experts.copies for stage in await world.stages()] == [2, 2]
    added = [event for event in await world.events() if event.startswith("CopyAdded")]
    assert len(added) == 2, "one of each stage"
    assert sum(event.count(" as well") for event in added) == 8
    assert any("expert 0 is on rank 2 (" in event for event in added)

    seen = await patch(world, copies=1)

    assert await hosts(world) == one_each
    assert all(expert.ranks for stage in seen for expert in stage.spec.experts)
    assert [(pod["metadata"]["name"], pod["metadata"]["uid"]) for pod in await world.pods()] == pods
    assert all(not stage.spec.masked for stage in seen)
    removed = sorted(event for event in await world.events() if event.startswith("CopyRemoved"))
    assert removed[0].startswith(
        "CopyRemoved: expert 2 no longer on rank 0 as well; expert 3 no longer on rank 1 as well"
    )
    assert len(removed) == 2


async def test_a_copy_more_of_one_expert_changes_nothing_else() -> None:
    world = await settled()
    generations = {stage.metadata.name: stage.metadata.generation for stage in await world.stages()}

    await patch(world, copiesOf=[{"expert": 5, "copies": 2}])

    assert await hosts(world) == {expert: [expert] for expert in range(8)} | {5: [5, 6]}
    # Two commits in the second stage, to load and to serve; none in the first.
    assert [stage.metadata.generation for stage in await world.stages()] == [
        generations["small-r0-s00"],
        generations["small-r0-s01"] + 2,
    ]


async def test_a_lost_copy_is_made_again_and_given_up_when_its_gpu_is_back() -> None:
    world = await settled()
    await patch(world, copies=2)
    planned = await hosts(world)
    status = (await world.stages())[0].status.ranks[2]
    assert status.node is not None

    world.bad_gpus[status.node, status.gpu] = "XID 79"
    await world.settle()

    assert (await world.status())["coverage"] == 2
    assert await hosts(world) == planned | {0: [0, 3], 2: [0, 3]}
    assert (await world.conditions())["Degraded"] == "True RankMasked"

    world.bad_gpus.clear()
    world.clock.seconds += 60
    await world.settle()

    assert await hosts(world) == planned
    assert (await world.conditions())["Degraded"] == "False Healthy"


def in_racks(world: World, racks: str) -> None:
    """node-0 stands in the rack named by the first letter, and so on."""
    for number, rack in enumerate(racks):
        world.api.put(resources.NODES, {"metadata": {"name": f"node-{number}", "labels": {"rack": rack}}})


def one_gpu_a_pod(spec: Json) -> None:
    spec["hardware"] |= {"nodes": 8, "gpusPerNode": 1, "rackLabel": "rack"}
    spec["experts"] = {"copies": 2}


async def test_a_copy_is_made_again_in_another_rack_than_the_one_that_is_left() -> None:
    world = World(one_gpu_a_pod)
    in_racks(world, "aabbccdd-")
    await world.settle()
    planned = await hosts(world)
    assert {expert: planned[expert] for expert in range(4)} == {0: [0, 2], 1: [1, 3], 2: [2, 0], 3: [3, 1]}

    world.bad_gpus["node-2", 0] = "XID 79"
    await world.settle()

    # Rank 1 holds as much as rank 3 and has the lower number, but it shares the rack of rank 0.
    assert await hosts(world) == planned | {0: [0, 3], 2: [0, 3]}


async def test_racks_are_those_of_the_nodes_that_the_pods_run_on() -> None:
    world = World(one_gpu_a_pod)
    in_racks(world, "aabbccddb")
    await world.settle()
    planned = await hosts(world)
    world.api.put(resources.NODES, {"metadata": {"name": "node-1", "labels": {"rack": "a"}}, "spec": CORDON})
    await world.delete_pod("small-r0-s00-p1-a0")
    await world.settle()
    assert [rank.node for rank in (await world.stages())[0].status.ranks] == ["node-0", "node-8", "node-2", "node-3"]

    world.bad_gpus["node-2", 0] = "XID 79"
    await world.settle()

    # Rank 1 was to be in the rack of rank 0, and is not.
    assert await hosts(world) == planned | {0: [0, 1], 2: [0, 3]}


async def test_only_so_many_copies_load_at_a_time() -> None:
    world = await settled()
    await world.edit(lambda spec: spec.update(failover={"loadsAtOnce": 1}))
    await world.settle()

    seen = await patch(world, copies=2)

    assert {sum(len(expert.loading) for expert in stage.spec.experts) for stage in seen} == {0, 1}
    assert (await world.status())["coverage"] == 2


class FailingWorld(World):
    """Rank 2 cannot load expert 0."""

    def report_of(self, pod: Json, stage: MoEStage) -> Report:
        report = super().report_of(pod, stage)
        return report.model_copy(update={"seats": [self._failing(seat) for seat in report.seats]})

    def _failing(self, seat: SeatReport) -> SeatReport:
        if seat.rank != 2 or 0 not in seat.experts:
            return seat
        failed = [FailedExpert(expert=0, reason="the file is gone")]
        return seat.model_copy(update={"experts": [e for e in seat.experts if e], "failed": failed})


async def test_an_expert_that_cannot_be_loaded_keeps_no_other_waiting() -> None:
    world = FailingWorld(two_pods_a_stage)
    await world.settle()
    await world.edit(lambda spec: spec.update(failover={"loadsAtOnce": 1}))
    await patch(world, copies=2)

    stage = await world.stage("small-r0-s00")
    assert [(e.ranks, e.loading) for e in stage.spec.experts] == [([0], [2]), ([1, 3], []), ([2, 0], []), ([3, 1], [])]


async def test_copies_that_the_running_stages_have_no_gpus_for_are_refused_and_nothing_moves() -> None:
    world = await settled()

    await patch(world, copies=5)

    conditions = {c["type"]: c for c in (await world.status())["conditions"]}
    assert conditions["Planned"]["status"] == "False"
    assert "spec.experts.copies = 5" in conditions["Planned"]["message"]
    assert await hosts(world) == {expert: [expert] for expert in range(8)}


async def test_degrees_that_were_left_to_the_planner_stay_as_they_run() -> None:
    world = World(lambda spec: spec["hardware"].update(nodes=1, gpusPerNode=4))
    await world.settle()
    assert [stage.spec.ranks_per_stage for stage in await world.stages()] == [4]

    # Two nodes would be planned as two stages of four ranks.
    await world.edit(lambda spec: spec["hardware"].update(nodes=2))
    await patch(world, copies=2)

    assert [stage.spec.ranks_per_stage for stage in await world.stages()] == [4]
    assert (await world.conditions())["Planned"] == "True LayoutPlanned"
    assert (await world.status())["coverage"] == 2


async def test_what_runs_is_named_where_it_no_longer_fits() -> None:
    world = World()
    await world.settle()

    await world.edit(lambda spec: spec["hardware"].update(nodes=1))
    await world.settle()

    conditions = {c["type"]: c for c in (await world.status())["conditions"]}
    assert conditions["Planned"]["message"].startswith(
        "spec.hardware.nodes = 1: what runs keeps its 2 stages of 4 ranks, and "
    )
    assert conditions["Available"]["status"] == "True"


async def test_an_operator_that_ends_between_the_stages_goes_on_with_the_rest() -> None:
    world = await settled()
    await world.edit(lambda spec: spec.update(experts={"copies": 2}))
    stages = [("replace", place) for place in (("moestages", "default", f"small-r0-s0{number}") for number in (0, 1))]
    refused = [stages[1]]

    def once(verb: str, place: tuple[str, str, str]) -> None:
        if refused and (verb, place) == refused[0]:
            refused.clear()
            raise Unavailable("cut off")

    world.api.before_write = once
    await world.settle()

    assert refused == []
    assert (await world.status())["coverage"] == 2
