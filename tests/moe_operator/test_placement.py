"""Placement that follows the counted load: spare copies go to what is hot, and nothing is written in between."""

from __future__ import annotations

from typing import Any

from moe_api.loads import CountedLoads
from tests.moe_operator.world import World

EVEN = dict.fromkeys(range(8), 1000)
HOT = EVEN | {3: 4000}


async def settled(**experts: Any) -> World:
    """Two stages of four ranks and four experts each, planned for one sequence at a time."""
    world = World(lambda spec: spec.update(experts=experts, workload=spec["workload"] | {"batchSize": 1}))
    await world.settle()
    return world


async def hosts(world: World) -> dict[int, list[int]]:
    return {expert.expert: expert.ranks for stage in await world.stages() for expert in stage.spec.experts}


async def test_a_spare_copy_is_made_of_the_expert_that_turns_out_to_be_hot() -> None:
    world = await settled(spareCopies=1, rebalance={"everySeconds": 10})
    before = await hosts(world)
    assert set(map(len, before.values())) == {1}, "on an even load a copy more makes some rank busier"

    await world.serve(HOT)
    await world.settle()

    after = await hosts(world)
    assert [len(ranks) for ranks in after.values()] == [1, 1, 1, 2, 1, 1, 1, 1]
    assert (await world.conditions())["Degraded"] == "False Healthy"
    (event,) = [event for event in await world.events() if event.startswith("Rebalanced")]
    # Every token chooses expert 3 and a third of them each other one: its rank does 1 of 2 / 4. Then two ranks have
    # half of expert 3 each, and the busiest is one that has two of the others.
    assert event == (
        "Rebalanced: the busiest rank has 2.00 times the mean to do,"
        " and 1.33 times once experts 1, 3 are loaded elsewhere"
    )


async def test_a_copy_that_a_large_batch_makes_its_rank_read_for_every_step_is_not_made() -> None:
    """Of 16 tokens nearly each expert gets some: the rank with a second expert would read 2 where the mean reads 1."""
    world = World(lambda spec: spec.update(experts={"spareCopies": 1, "rebalance": {"everySeconds": 10}}))
    await world.settle()
    before = await hosts(world)

    await world.serve(HOT)
    await world.settle()

    assert await hosts(world) == before


async def test_a_steady_load_moves_nothing_more_and_is_noted_once_a_round() -> None:
    world = await settled(spareCopies=1, rebalance={"everySeconds": 10})
    await world.serve(HOT)
    await world.settle()
    at_rest, writes = await hosts(world), len(world.api.writes)

    await world.serve(HOT)
    await world.settle()
    assert world.api.writes[writes:] == []

    world.clock.seconds += 10
    await world.settle()
    assert [verb for verb, _ in world.api.writes[writes:]] == ["replace", "replace"]
    assert await hosts(world) == at_rest


async def test_nothing_follows_the_load_unless_it_is_asked_for() -> None:
    world = await settled(spareCopies=1)
    before, writes = await hosts(world), len(world.api.writes)

    await world.serve(HOT)
    await world.settle()

    assert await hosts(world) == before
    assert world.api.writes[writes:] == []


async def test_what_no_longer_follows_the_load_is_where_the_plan_has_it() -> None:
    world = await settled(spareCopies=1, rebalance={"everySeconds": 10})
    planned = await hosts(world)
    await world.serve(HOT)
    await world.settle()
    assert await hosts(world) != planned

    await world.edit(lambda spec: spec.update(experts={"spareCopies": 1}))
    await world.settle()

    assert await hosts(world) == planned


async def test_a_few_tokens_are_no_reason_to_move() -> None:
    world = await settled(spareCopies=1, rebalance={"everySeconds": 10})
    before = await hosts(world)

    await world.serve({expert: number // 100 for expert, number in HOT.items()})
    await world.settle()

    assert await hosts(world) == before
    assert CountedLoads.of((await world.stages())[0]).tokens[3] == 40


async def test_a_gpu_that_fails_leaves_its_expert_to_the_rank_with_the_least_to_do() -> None:
    world = await settled(rebalance={"everySeconds": 10})
    await world.serve(EVEN | {0: 4000, 1: 3000, 3: 2000})
    await world.settle()
    status = (await world.stages())[0].status.ranks[3]
    assert status.node is not None

    world.bad_gpus[status.node, status.gpu] = "XID 79"
    await world.settle()

    assert (await hosts(world))[3] == [2]


async def test_balance_waits_until_everything_is_healed() -> None:
    world = await settled(spareCopies=1, rebalance={"everySeconds": 10})
    status = (await world.stages())[0].status.ranks[1]
    assert status.node is not None
    world.bad_gpus[status.node, status.gpu] = "XID 79"
    await world.settle()
    await world.serve(HOT)
    world.clock.seconds += 30
    await world.settle()
    assert not [event for event in await world.events() if event.startswith("Rebalanced")]

    world.bad_gpus.clear()
    world.clock.seconds += 30
    await world.settle()
    await world.serve(HOT)
    world.clock.seconds += 30
    await world.settle()
    assert [len(ranks) for ranks in (await hosts(world)).values()][:4] == [1, 1, 1, 2]


async def test_a_loss_that_is_seen_together_with_a_load_comes_first() -> None:
    world = await settled(spareCopies=1, rebalance={"everySeconds": 10})
    status = (await world.stages())[0].status.ranks[1]
    assert status.node is not None
    await world.serve(HOT)
    world.bad_gpus[status.node, status.gpu] = "XID 79"

    await world.settle()

    assert not [event for event in await world.events() if event.startswith("Rebalanced")]


async def test_how_often_loads_are_told_reaches_running_stages() -> None:
    world = await settled()
    assert [stage.spec.loads_every_seconds for stage in await world.stages()] == [600, 600]

    await world.edit(lambda spec: spec.update(experts={"rebalance": {"everySeconds": 30}}))
    await world.settle()

    assert [stage.spec.loads_every_seconds for stage in await world.stages()] == [30, 30]
