"""`python -m benchmarks.planner`: how long planning takes from 64 to 16,384 GPUs, search, placement and table included.

Each case is planned several times in this one process; the median and the spread (least to most) are printed. Seconds
are the process's own: it has one thread and waits for nothing, so they are what a clock shows on an idle machine.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rich.console import Console
from rich.table import Table

from moe_planner.inputs import Constraints, Targets, Workload
from moe_planner.layout import StageLayout
from moe_planner.model import LatentAttention, ModelShape
from moe_planner.moves import Room
from moe_planner.plan import plan
from moe_planner.profiles import hardware
from moe_planner.rehost import rehost
from moe_planner.render import as_text
from moe_planner.result import Plan
from moe_planner.values import as_dict

NUM_GPUS = (64, 256, 1024, 4096, 16_384)
GPUS_PER_NODE = 8

REFERENCE = ModelShape(
    layers=16,
    experts=16,
    experts_per_token=2,
    hidden=512,
    heads=16,
    kv_heads=16,
    head_dim=32,
    expert_ffn=38_082,
    vocab=0,
    gated=False,
    max_positions=10_240,
)
"""The reference document's model."""
LARGE = ModelShape(
    layers=61,
    experts=256,
    experts_per_token=8,
    hidden=7168,
    heads=128,
    kv_heads=128,
    head_dim=128,
    expert_ffn=2048,
    vocab=129_280,
    expert_bits=8,
    max_positions=10_240,
    dense_layers=(0, 1, 2),
    dense_ffn=18_432,
    shared_ffn=2048,
    latent=LatentAttention(kv_rank=512, query_rank=1536, rope_dim=64, nope_dim=128, value_dim=128),
)
"""DeepSeek-V3's."""
TARGETS = Targets(
    time_to_first_token=10.0,
    time_per_output_token=0.03,
    prefill_throughput_per_gpu=30_000.0,
    decode_throughput_per_gpu=3_000.0,
    memory_share=0.5,
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model on so many GPUs."""

    name: str
    shape: ModelShape
    num_gpus: int

    def plan(self) -> Plan:
        return plan(
            self.shape,
            hardware("h200").hardware(self.num_gpus // GPUS_PER_NODE),
            Workload(
                batch_size=2 * self.num_gpus,
                min_sequence_length=128,
                max_sequence_length=8192,
                kv_tokens_per_lane=10_240,
                lanes_per_rank=2,
                step_tokens=256,
                steps_in_flight=4,
            ),
            Constraints(),
            targets=TARGETS,
        )


def main() -> int:
    """Print one row for each model and number of GPUs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5, help="how often each case is planned")
    parser.add_argument("--most", type=int, default=NUM_GPUS[-1], help="the most GPUs")
    arguments = parser.parse_args()
    cases = [
        Case(name=name, shape=shape, num_gpus=num_gpus)
        for name, shape in (("reference", REFERENCE), ("61 x 256", LARGE))
        for num_gpus in NUM_GPUS
        if num_gpus <= arguments.most
    ]
    measure(cases, arguments.repeat)
    return 0


def measure(cases: Sequence[Case], repeat: int) -> None:
    """Time planning, the table of it, and the loss of one GPU."""
    table = Table("model", "GPUs", "layout", "plan, s", "as text and JSON, s", "rehost one GPU, ms")
    for case in cases:
        planned = case.plan()
        table.add_row(
            case.name,
            str(case.num_gpus),
            f"EP {planned.degrees.expert} x PP {planned.degrees.pipeline}",
            _spread(case.plan, repeat),
            _spread(partial(_shown, planned), repeat),
            _spread(partial(_rehosted, planned.layout.stages[-1]), repeat, unit=1e-3),
        )
    Console().print(table)


def _shown(planned: Plan) -> None:
    as_text(planned)
    as_dict(planned)


def _rehosted(stage: StageLayout) -> None:
    rehost(replace(stage), lost=frozenset({stage.seats[0].rank}), room=Room(lanes_per_rank=2))


def _spread(work: Callable[[], object], repeat: int, unit: float = 1.0) -> str:
    """Median, least and most, in `unit` seconds."""
    spans = []
    for _ in range(repeat):
        began = time.process_time()
        work()
        spans.append((time.process_time() - began) / unit)
    return f"{statistics.median(spans):.3f} ({min(spans):.3f} to {max(spans):.3f})"


if __name__ == "__main__":
    sys.exit(main())
