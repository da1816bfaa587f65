"""`python -m benchmarks.engine.memory MODEL`: what one rank's weights and KV cache take, against what the planner says.

The process opens a rank of stage 0, all its experts, and fills every KV block of its lanes. What counts is by how much
its anonymous memory grows: mapped pages of the checkpoint are clean, and the kernel takes them back when it needs them.
The rank is opened twice: what the first takes more is a process's constant, as the interpreter and torch are, and told
apart. The planner's takeover and buffers are reserves that nothing
fills here; what loading has freed, which steps take again, is of the buffers and given back first.
"""

import argparse
import ctypes
import gc
import json
import sys
from pathlib import Path

import torch

from benchmarks.machine import machine
from moe_planner.families import read_shape
from moe_planner.inputs import Workload
from moe_planner.memory import Memory, memory_of_rank
from moe_planner.model import ModelShape
from moe_planner.result import Degrees
from moe_planner.sizes import layer_sizes
from moe_wire.messages import Segment
from moe_worker.device.opening import open_device
from moe_worker.model.engine import Engine, open_engine
from moe_worker.protocol.settings import Settings

MIB = 2**20
STAGE = 0


@torch.inference_mode()
def main() -> int:
    """Print both, part by part, as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine.memory", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--stages", type=int, default=16)
    parser.add_argument("--ranks", type=int, default=4, help="of a stage")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--lanes", type=int, default=1, help="that the rank holds")
    options = parser.parse_args()
    torch.randn(512, 512) @ torch.randn(512, 512)
    at_first = own_memory()
    shape = read_shape(json.loads((options.model / "config.json").read_text()), dtype=options.dtype)
    first = opened(options, shape)
    before = own_memory()
    engine = opened(options, shape)
    with_weights = own_memory()
    for lane in range(options.lanes):
        fill(engine, lane)
    grown = {name: (size - before[name]) / MIB for name, size in own_memory().items()}
    first.close()
    engine.close()
    expected = predicted(options, shape, engine.settings)
    said = {name: getattr(expected, name) / MIB for name in Memory.__dataclass_fields__}
    counted = (expected.weights + expected.kv_cache) / MIB
    constant = {"interpreter and torch": at_first["Pss_Anon"] / MIB}
    constant["of the first rank"] = (2 * before["Pss_Anon"] - at_first["Pss_Anon"] - with_weights["Pss_Anon"]) / MIB
    found = {"machine": machine(), "constant MiB": constant, "grown MiB": grown, "predicted MiB": said}
    print(json.dumps(found | {"weights and KV cache MiB": counted, "ratio": grown["Pss_Anon"] / counted}, indent=1))
    return 0


def opened(options: argparse.Namespace, shape: ModelShape) -> Engine:
    """A rank of the stage with its share of the experts."""
    layers, held = shape.layers // options.stages, shape.experts // options.ranks
    settings = Settings(
        stage=STAGE, stages=options.stages, first_layer=0, num_layers=layers, lanes_per_rank=options.lanes
    )
    engine = open_engine(options.model, device=open_device(0, {}), settings=settings, dtype=options.dtype)
    for layer in settings.layers:
        for expert in range(held):
            engine.load(layer * shape.experts + expert)
    left = layers * held
    while left:
        left -= len(engine.loaded())
    return engine


def fill(engine: Engine, lane: int) -> None:
    """Every block of the lane, by sequences of the greatest length."""
    settings = engine.settings
    engine.open_lane(lane)
    each = settings.max_sequence_length // settings.block_size
    for number, first in enumerate(range(0, settings.blocks_per_lane, each), 1):
        blocks = tuple(range(first, min(first + each, settings.blocks_per_lane)))
        count = len(blocks) * settings.block_size
        engine.begin(lane, [Segment(number, 0, count, blocks, None)], [[5] * count], None)


def predicted(options: argparse.Namespace, shape: ModelShape, settings: Settings) -> Memory:
    """What the planner reserves for this rank."""
    workload = Workload(
        batch_size=1,
        min_sequence_length=1,
        max_sequence_length=settings.max_sequence_length,
        kv_tokens_per_lane=settings.blocks_per_lane * settings.block_size,
        lanes_per_rank=settings.lanes_per_rank,
        step_tokens=settings.max_step_tokens,
        steps_in_flight=settings.max_steps_in_flight,
    )
    degrees = Degrees(expert=options.ranks, pipeline=options.stages)
    held = settings.num_layers * shape.experts // options.ranks
    return memory_of_rank(layer_sizes(shape, 0, settings.num_layers, 1), shape, degrees, workload, held, 1)


def own_memory() -> dict[str, int]:
    """Bytes of this process by /proc, freed memory given back: PSS in all, how much is anonymous or of files."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    pairs = (line.split()[:2] for line in lines if line.startswith("Pss"))
    found = {name.rstrip(":"): int(size) * 1024 for name, size in pairs}
    return {name: found[name] for name in ("Pss", "Pss_Anon", "Pss_File")}


if __name__ == "__main__":
    sys.exit(main())
