"""One random history from its seed to its end, and what must be true then."""

from collections.abc import Callable
from random import Random

from moe_worker.protocol.rank import RankCore
from tests.moe_worker.protocol.simulation import faults
from tests.moe_worker.protocol.simulation.config import draw
from tests.moe_worker.protocol.simulation.gateway import Stream
from tests.moe_worker.protocol.simulation.world import World

MAX_TURNS = 60_000


def run_history(
    seed: int,
    make_core: Callable[..., RankCore] = RankCore,
    *,
    menu: faults.Menu = faults.FAULTS,
    tracer: Callable[[int, str], None] | None = None,
) -> World:
    """Raises AssertionError, or whatever the core raised, if it went wrong. The same seed gives the same history."""
    random = Random(seed)
    world = World(draw(random), random, make_core, tracer)
    world.streams = [Stream(world, number, random) for number in range(1, world.config.num_requests + 1)]
    for stream in world.streams:
        world.after(random.random() * world.config.fault_seconds, stream.submit)
    faults.schedule(world, menu)
    world.run(MAX_TURNS)
    _check_end(world)
    return world


def _check_end(world: World) -> None:
    """Everything answered, nothing left over anywhere."""
    assert all(stream.is_done for stream in world.streams), "deadlock: " + "; ".join(
        f"{stream.tokens} of {stream.expected}" for stream in world.streams if not stream.is_done
    )
    for zombie in world.zombies:
        assert not zombie.is_alive or zombie.core.status().requests == 0, zombie
    for process in world.everyone():
        if process in world.zombies:
            continue
        world.check_bounds(process)
        status = process.core.status()
        left = (status.outstanding, status.queued, status.requests, status.blocks_used, status.step_rows)
        assert not any(left), status
        assert all(lane.blocks_cached <= lane.blocks for lane in status.headed), status
        assert all(lane.live and lane.steps_in_flight == 0 for lane in status.headed), status
        held = set(process.core.status().held)
        assert held == _wanted(world, process.identity.rank), status
        assert set(process.compute.caches) == set(status.lanes), status
    _check_mirrors(world)


def _wanted(world: World, rank: int) -> set[int]:
    view = world.layouts[rank // world.config.ranks]
    return {expert for hosts in (view.serving, view.loading) for expert, ranks in hosts.items() if rank in ranks}


def _check_mirrors(world: World) -> None:
    """Every rank of a lane knows the same sequences and blocks."""
    for lane in world.layouts[0].lanes:
        seats = [view.lanes[lane] for view in world.layouts]
        tables = [world.processes[seat].compute.caches[lane].tables for seat in seats if seat is not None]
        assert all(table == tables[0] for table in tables), f"lane {lane}: {tables}"
