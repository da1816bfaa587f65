"""How fast a stage is rehosted, and a model placed: `python -m benchmarks.rehosting`. Needs nothing running."""

from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter, process_time

from rich.console import Console
from rich.table import Table

from moe_planner.amounts import count
from moe_planner.inputs import Constraints, Hardware, Loads
from moe_planner.layout import Layout, StageLayout
from moe_planner.model import ModelShape
from moe_planner.moves import Room
from moe_planner.placement import place
from moe_planner.rehost import rehost
from moe_planner.result import Degrees

GPUS_PER_NODE = 8
ROOM = Room(lanes_per_rank=3, experts_per_rank=8)
REPEATS = 9
# Layers and experts of DeepSeek-V3, all of them with experts; other sizes do not matter for placing.
SHAPE = ModelShape(
    layers=61,
    experts=256,
    experts_per_token=8,
    hidden=7168,
    heads=128,
    kv_heads=128,
    head_dim=128,
    expert_ffn=2048,
    vocab=129280,
)
SIZES = (64, 256, 1024, 4096, 16384)


def main() -> None:
    """Print one table for rehosting and one for placing; times are the median of CPU time and of wall time."""
    console = Console()
    console.print(rehosting_table())
    console.print(placing_table())


def rehosting_table() -> Table:
    """One GPU and one node lost of one stage that holds every expert, in layouts that were never looked at before."""
    table = Table(
        "ranks of the stage", "lost", "experts moved", "CPU, ms", "wall, ms", title="rehost, 61 x 256 experts"
    )
    for num_gpus in SIZES[:-1]:
        for lost in (1, GPUS_PER_NODE):
            moved, times = rehosting_times(num_gpus, frozenset(range(lost)))
            table.add_row(str(num_gpus), count(lost, "GPU"), str(moved), *milliseconds(times))
    return table


def rehosting_times(num_gpus: int, lost: frozenset[int]) -> tuple[int, list[tuple[float, float]]]:
    """How many experts move, and the times of doing it."""
    stages = [placed(num_gpus, 1, Loads()).stages[0] for _ in range(REPEATS)]
    room = Room(lanes_per_rank=3) if num_gpus < SHAPE.total_experts // 4 else ROOM
    moved = len(rehost(stages[0], lost=lost, room=room).moves)
    return moved, [timed(partial(rehost, fresh(stage), lost=lost, room=room)) for stage in stages]


def placing_table() -> Table:
    """All experts on all GPUs, in up to 61 stages of at least 64 ranks."""
    table = Table("GPUs", "stages", "loads", "CPU, ms", "wall, ms", title="place, 61 x 256 experts")
    for num_gpus in SIZES:
        stages = max(1, min(SHAPE.layers, num_gpus // 64))
        for kind, loads in (("uniform", Loads()), ("zipf", Loads(kind="zipf"))):
            times = [timed(partial(placed, num_gpus, stages, loads)) for _ in range(3)]
            table.add_row(str(num_gpus), str(stages), kind, *milliseconds(times))
    return table


def placed(num_gpus: int, stages: int, loads: Loads) -> Layout:
    """The model on so many GPUs; those that do not divide over the stages are left over."""
    hardware = Hardware(nodes=num_gpus // GPUS_PER_NODE, gpus_per_node=GPUS_PER_NODE, gpu_memory_bytes=80 << 30)
    ranks = num_gpus // stages // GPUS_PER_NODE * GPUS_PER_NODE
    return place(SHAPE, hardware, Degrees(expert=ranks, pipeline=stages), Constraints(), loads, batch=128)[0]


def fresh(stage: StageLayout) -> StageLayout:
    """An equal layout without anything looked up in it yet."""
    return StageLayout(**{name: getattr(stage, name) for name in stage.__dataclass_fields__})


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds."""
    cpu, wall = process_time(), perf_counter()
    work()
    return process_time() - cpu, perf_counter() - wall


def milliseconds(times: list[tuple[float, float]]) -> tuple[str, str]:
    """The medians, for people."""
    cpus, walls = zip(*times, strict=True)
    return f"{1000 * median(cpus):.1f}", f"{1000 * median(walls):.1f}"


if __name__ == "__main__":
    main()
