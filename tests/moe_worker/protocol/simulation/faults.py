"""What goes wrong in a history. Each fault happens at a random time, and ends, so that the world can settle."""

from collections.abc import Callable, Sequence

from tests.moe_worker.protocol.simulation import layouts
from tests.moe_worker.protocol.simulation.process import Process
from tests.moe_worker.protocol.simulation.world import World

Menu = Sequence[Callable[[World], None]]


def schedule(world: World, menu: Menu) -> None:
    """Draw the history's faults."""
    for _ in range(world.config.num_faults):
        fault = world.random.choice(menu)
        world.after(world.random.random() * world.config.fault_seconds, lambda fault=fault: fault(world))


def soon(world: World) -> float:
    return world.random.choice((0.001, 0.01, 0.05, 0.2)) * world.random.random()


def cut_connection(world: World) -> None:
    """Some link between two that live breaks."""
    connections = [one for process in world.everyone() for one in process.accepted.values()]
    if connections:
        connection = world.random.choice(connections)
        world.trace("cut %r -> %r", connection.dialler, connection.acceptor)
        connection.cut()


def kill_process(world: World) -> None:
    """A rank process dies and is forked again; its GPU is fine."""
    process = _victim(world)
    if process is not None:
        _die_and_fork(world, process)


def kill_gpu(world: World) -> None:
    """A GPU dies: the operator gives away what it had; later, perhaps, it is back."""
    process = _victim(world)
    if process is None:
        return
    rank, stage = process.identity.rank, process.stage
    world.trace("GPU of %r fails", process)
    process.die()
    world.masked.add(rank)
    world.after(soon(world), lambda: _rehost(world, stage, rank))
    must_heal = not world.alive_ranks(stage)
    if must_heal or world.random.random() < 0.5:
        world.after(0.2 + soon(world), lambda: _heal(world, stage, rank))


def hang_process(world: World) -> None:
    """A rank does nothing for a while, then is killed and forked again, or goes on as if nothing had been."""
    process = _victim(world)
    if process is None:
        return
    world.trace("%r hangs", process)
    process.is_hung = True
    world.after(soon(world), lambda: _end_hang(world, process))


def fall_silent(world: World) -> None:
    """A rank stands still, or is cut off, until the operator has given away what it had; then it goes on as if nothing
    had been, and after a while is given something again.
    """
    process = _victim(world)
    if process is None:
        return
    rank, stage = process.identity.rank, process.stage
    world.trace("%r falls silent", process)
    process.is_hung = True
    world.masked.add(rank)
    given_away, back = soon(world), soon(world)
    world.after(given_away, lambda: _rehost(world, stage, rank))
    world.after(given_away + back, lambda: _resume(world, process))
    world.after(given_away + back + soon(world), lambda: _trust_again(world, process))


def replace_pod(world: World) -> None:
    """The seat is given to another pod while the old process lives on for a while, hung or not, told of it or not."""
    process = _victim(world)
    if process is None:
        return
    rank, stage = process.identity.rank, process.stage
    process.is_hung = world.random.random() < 0.5
    process.is_partitioned = world.random.random() < 0.5
    world.trace("%r becomes a zombie", process)
    world.zombies.append(process)
    view = layouts.with_pod_replaced(world.layouts[stage], rank, f"{process.identity.pod_uid}'")
    world.commit(view)
    world.fork(rank)
    if process.is_hung:
        world.after(soon(world), lambda: _resume(world, process))
    if not (process.is_partitioned and world.config.has_lonely_zombies):
        world.after(0.3 + soon(world), lambda: _bury(world, process))


def move_lane(world: World) -> None:
    stage = world.random.randrange(world.config.stages)
    if alive := world.alive_ranks(stage):
        world.commit(layouts.with_lane_moved(world.layouts[stage], alive, world.random))


def change_copies(world: World) -> None:
    stage = world.random.randrange(world.config.stages)
    if alive := world.alive_ranks(stage):
        world.commit(layouts.with_copies_changed(world.layouts[stage], alive, world.random))


def cancel_request(world: World) -> None:
    streams = [stream for stream in world.streams if not stream.is_done]
    if streams:
        world.random.choice(streams).cancel()


def submit_twice(world: World) -> None:
    """An impatient gateway submits a request again though its head lives."""
    streams = [stream for stream in world.streams if not stream.is_done]
    if streams:
        world.random.choice(streams).submit()


FAULTS: Menu = (
    cut_connection,
    cut_connection,
    kill_process,
    kill_process,
    kill_gpu,
    kill_gpu,
    hang_process,
    fall_silent,
    replace_pod,
    move_lane,
    change_copies,
    cancel_request,
    submit_twice,
)


def _victim(world: World) -> Process | None:
    candidates = [process for process in world.processes.values() if process.is_alive and not process.is_hung]
    return world.random.choice(candidates) if candidates else None


def _die_and_fork(world: World, process: Process) -> None:
    world.trace("%r dies", process)
    process.die()
    world.after(soon(world), lambda: _fork_again(world, process.identity.rank))


def _fork_again(world: World, rank: int) -> None:
    if rank not in world.masked and not world.processes[rank].is_alive:
        world.fork(rank)


def _rehost(world: World, stage: int, rank: int) -> None:
    if rank in world.masked:
        world.commit(layouts.without(world.layouts[stage], rank, world.alive_ranks(stage), world.random))


def _heal(world: World, stage: int, rank: int) -> None:
    if rank in world.masked:
        world.masked.discard(rank)
        world.fork(rank)
        world.commit(layouts.with_rank(world.layouts[stage], rank, world.alive_ranks(stage), world.random))


def _trust_again(world: World, process: Process) -> None:
    rank, stage = process.identity.rank, process.stage
    if rank not in world.masked:
        return
    if world.processes[rank].is_alive:
        world.masked.discard(rank)
        world.commit(layouts.with_rank(world.layouts[stage], rank, world.alive_ranks(stage), world.random))
    else:
        _heal(world, stage, rank)


def _end_hang(world: World, process: Process) -> None:
    process.is_hung = False
    if not process.is_alive:
        return
    if world.random.random() < 0.5 and world.processes[process.identity.rank] is process:
        _die_and_fork(world, process)
    else:
        _resume(world, process)


def _resume(world: World, process: Process) -> None:
    process.is_hung = False
    if process.is_alive:
        world.trace("%r goes on", process)
        world.mark(process)


def _bury(world: World, process: Process) -> None:
    process.is_hung = False
    if process.is_alive:
        world.trace("%r is fenced", process)
        process.die()
