"""Entries of spec.failover that name nothing are told of, and change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from moe_api.conditions import rfc3339
from moe_operator.api import Json
from tests.moe_operator.test_evacuation import evacuate, hosts, node_of, settled
from tests.moe_operator.world import World

STAGE = "small-r0-s01"
NOTHING = "node-9: no node is called so; it counts when one comes, else correct it or take it out"


async def told(world: World) -> Json | None:
    """The condition, None where there is none."""
    conditions: list[Json] = (await world.status())["conditions"]
    return next((one for one in conditions if one["type"] == "PlacesKnown"), None)


async def warned(world: World) -> list[str]:
    return [event for event in await world.events() if event.startswith("UnknownPlace")]


async def test_a_node_that_is_not_there_is_told_of_once_and_nothing_else_changes() -> None:
    world = await settled()
    before = await world.conditions()
    hosted = [hosts(stage) for stage in await world.stages()]

    await evacuate(world, {"node": "node-9"})
    await world.settle()

    condition = await told(world)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "UnknownPlace")
    assert condition["message"] == f"spec.failover.evacuate[0].node = {NOTHING}"
    assert await world.conditions() == before | {"PlacesKnown": "False UnknownPlace"}
    assert (await world.status())["reason"] == "AllExpertsReady"
    assert await warned(world) == [f"UnknownPlace: {condition['message']}"]
    assert [hosts(stage) for stage in await world.stages()] == hosted


async def test_it_is_over_when_the_node_comes_and_gone_with_the_last_entry() -> None:
    world = await settled()
    await evacuate(world, {"node": "node-9"})
    await world.settle()

    world.add_node("node-9", 2)
    await world.settle()
    assert (await world.conditions())["PlacesKnown"] == "True PlacesFound"

    await evacuate(world)
    await world.settle()
    assert await told(world) is None


async def test_each_further_entry_that_names_nothing_is_told_of() -> None:
    world = await settled()
    await evacuate(world, {"node": "node-9"})
    await world.settle()
    await evacuate(world, {"node": "node-9"}, {"node": "node-8"})
    await world.settle()

    assert len(await warned(world)) == 2
    assert any("spec.failover.evacuate[1].node = node-8" in event for event in await warned(world))


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({}, ""),
        ({"gpu": 1}, ""),
        ({"gpu": 1, "uuid": "NODE/1"}, ""),
        ({"gpu": 2}, "gpu = 2: the pods on NODE have GPUs 0, 1"),
        ({"uuid": "NODE/7"}, "uuid = NODE/7: the pods on NODE have NODE/0, NODE/1"),
        ({"gpu": 1, "uuid": "NODE/0"}, "gpu = 1: NODE/0 is GPU 0 of its pod"),
    ],
)
async def test_a_gpu_is_known_by_the_pods_on_its_node(entry: dict[str, Any], fault: str) -> None:
    world = await settled()
    node = await node_of(world, 6)
    place = {"node": node} | {key: _at(value, node) for key, value in entry.items()}

    await world.edit(lambda spec: spec.update(failover={"cleared": [place | {"at": rfc3339(world.clock.now())}]}))
    await world.settle()

    words = f"spec.failover.cleared[0].{_at(fault, node)}; correct it or take it out"
    condition = await told(world)
    assert condition is not None
    assert condition["message"] == (words if fault else "every node and GPU that spec.failover names is there")


async def test_where_no_rank_is_only_an_index_that_no_pod_has_is_a_fault() -> None:
    world = await settled()
    await evacuate(
        world, {"node": "node-4", "gpu": 1}, {"node": "node-4", "uuid": "GPU-1"}, {"node": "node-4", "gpu": 2}
    )
    await world.settle()

    condition = await told(world)
    assert condition is not None
    assert condition["message"] == (
        "spec.failover.evacuate[2].gpu = 2: spec.hardware.gpusPerNode is 2; correct it or take it out"
    )


def _at(value: Any, node: str) -> Any:
    return value.replace("NODE", node) if isinstance(value, str) else value
