"""The operator killed, refused and cut off at every single write: the end is always the same."""

from __future__ import annotations

import copy
import os
from collections.abc import Awaitable, Callable

import pytest

from moe_operator import errors, resources
from moe_operator.memory import Place
from moe_operator.metrics import Metrics
from tests.moe_operator.world import Crash, World

EVERY = int(os.environ.get("MOE_EVERY_NTH_WRITE", "17"))
"""Sampled; `make sweep` takes each."""
LEAST_STRUCK = 10


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


async def bring_up(world: World) -> None:
    """Nothing to do beside what all phases end with: to live."""


async def gpu_dies(world: World) -> None:
    world.bad_gpus["node-0", 2] = "XID 79"


async def gpus_heal(world: World) -> None:
    """They are back when their quarantine is over."""
    world.bad_gpus.clear()


async def pod_is_deleted(world: World) -> None:
    names = [pod["metadata"]["name"] for pod in await world.pods()]
    if "small-r0-s01-p0-a0" in names:
        await world.delete_pod("small-r0-s01-p0-a0")


async def gpu_is_evacuated(world: World) -> None:
    await world.edit(lambda spec: spec.update(failover={"evacuate": [{"node": "node-0", "gpu": 3}]}))


async def node_is_cordoned(world: World) -> None:
    cordon(world, "node-2", True)


async def gpu_dies_beside_what_is_emptied(world: World) -> None:
    cordon(world, "node-2", False)
    world.bad_gpus["node-0", 1] = "XID 79"


async def copies_are_asked_for(world: World) -> None:
    await world.edit(lambda spec: spec.update(experts={"copies": 2}))


async def gpu_dies_that_holds_copies(world: World) -> None:
    world.bad_gpus["node-0", 0] = "XID 48"


async def copies_and_places_are_taken_back(world: World) -> None:
    await world.edit(lambda spec: spec.update(experts={"copies": 1}, failover={"evacuate": []}))


Phase = Callable[[World], Awaitable[None]]
PHASES: tuple[Phase, ...] = (
    bring_up,
    gpu_dies,
    gpus_heal,
    pod_is_deleted,
    gpu_is_evacuated,
    node_is_cordoned,
    gpu_dies_beside_what_is_emptied,
    copies_are_asked_for,
    gpu_dies_that_holds_copies,
    gpus_heal,
    copies_and_places_are_taken_back,
)


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


@pytest.mark.parametrize(
    ("moment", "error"),
    [
        ("before_write", Crash),
        ("after_write", Crash),
        ("before_write", errors.Unavailable),
        ("before_write", errors.Conflict),
    ],
)
async def test_a_fault_around_any_write_changes_nothing_in_the_end(moment: str, error: type[Exception]) -> None:
    """Phase by phase, each from where the one before it ended undisturbed."""
    world, struck = World(), 0
    for phase in PHASES:
        before = twin(world)
        num_writes = await lived(world, phase, Fault(0, error), moment)
        expected = await world.end_state()
        for strike in range(1 + struck % EVERY, num_writes + 1, EVERY):
            faulty = twin(before)
            await lived(faulty, phase, Fault(strike, error), moment)
            assert await faulty.end_state() == expected, f"{phase.__name__}, write {strike}"
            struck += 1
    assert struck > LEAST_STRUCK


def twin(world: World) -> World:
    """The same world once more, with figures of its own."""
    metrics = world.reconciler.metrics
    return copy.deepcopy(world, {id(metrics): Metrics()})


async def lived(world: World, phase: Phase, fault: Fault, moment: str = "before_write") -> int:
    """How many writes it took to live through the phase."""
    calm = getattr(world.api, moment)
    setattr(world.api, moment, fault)
    await phase(world)
    await live(world)
    setattr(world.api, moment, calm)
    return fault.num_writes
