"""The operator killed, refused and cut off at every single write: the end is always the same."""

from __future__ import annotations

import pytest

from moe_operator import errors, resources
from moe_operator.api import Json
from moe_operator.memory import Place
from tests.moe_operator.world import Crash, World

MOST_WRITES = 400


class Fault:
    """Strikes the k-th write: before it is done, or after, when only the answer is lost."""

    def __init__(self, strike: int, error: type[Exception]) -> None:
        self.strike = strike
        self.error = error
        self.num_writes = 0

    def __call__(self, verb: str, place: Place) -> None:
        self.num_writes += 1
        if self.num_writes == self.strike:
            raise self.error(f"{verb} {place}")


async def story(world: World) -> Json:
    """Bring-up, a GPU that dies and heals, a deleted pod, what is emptied, a dead GPU and copies made beside it."""
    await live(world)
    world.bad_gpus["node-0", 2] = "XID 79"
    await live(world)
    world.bad_gpus.clear()
    await live(world)
    names = [pod["metadata"]["name"] for pod in await world.pods()]
    if "small-r0-s01-p0-a0" in names:
        await world.delete_pod("small-r0-s01-p0-a0")
    await live(world)
    await world.edit(lambda spec: spec.update(failover={"evacuate": [{"node": "node-0", "gpu": 3}]}))
    await live(world)
    cordon(world, "node-2", True)
    await live(world)
    cordon(world, "node-2", False)
    world.bad_gpus["node-0", 1] = "XID 79"
    await live(world)
    await world.edit(lambda spec: spec.update(experts={"copies": 2}))
    await live(world)
    return await world.end_state()


def cordon(world: World, node: str, is_cordoned: bool) -> None:
    world.api.put(resources.NODES, {"metadata": {"name": node}, "spec": {"unschedulable": is_cordoned}})


async def live(world: World) -> None:
    """Settle; a crashed operator is started again, which is all that its Deployment does."""
    while True:
        try:
            await world.settle()
            return
        except Crash:
            continue


async def undisturbed() -> tuple[Json, int]:
    fault = Fault(0, Crash)
    return await story(World(before_write=fault)), fault.num_writes


@pytest.mark.parametrize(("error", "first"), [(Crash, 1), (errors.Unavailable, 4), (errors.Conflict, 7)])
async def test_a_fault_at_a_write_changes_nothing_in_the_end(error: type[Exception], first: int) -> None:
    expected, num_writes = await undisturbed()
    assert 20 < num_writes < MOST_WRITES

    for strike in range(first, num_writes + 1, 23):
        assert await story(World(before_write=Fault(strike, error))) == expected, f"write {strike}"


async def test_a_lost_answer_changes_nothing_in_the_end() -> None:
    expected, num_writes = await undisturbed()

    for strike in range(2, num_writes + 1, 23):
        assert await story(_losing_answer(strike)) == expected, f"write {strike}"


@pytest.mark.slow
async def test_a_crash_around_every_single_write_changes_nothing_in_the_end() -> None:
    expected, num_writes = await undisturbed()

    for strike in range(1, num_writes + 1):
        assert await story(World(before_write=Fault(strike, Crash))) == expected, f"before write {strike}"
        assert await story(_losing_answer(strike)) == expected, f"after write {strike}"


def _losing_answer(strike: int) -> World:
    world = World()
    world.api.after_write = Fault(strike, Crash)
    return world
