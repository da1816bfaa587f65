"""The reference document's own numbers: its model, its GPU, its batch; the links are assumed as in the facts."""

from __future__ import annotations

from moe_planner.inputs import Constraints, Gpu, Hardware, Link, Targets, Workload
from moe_planner.model import ModelShape
from moe_planner.problem import Problem
from moe_planner.result import Degrees

GB = 10**9
LINK = Link(bandwidth=50e9, latency=10e-6)
HARDWARE = Hardware(
    nodes=32,
    gpus_per_node=8,
    gpu_memory_bytes=64 * GB,
    gpu=Gpu(name="document", flops=(("fp16", 400e12),), memory_bandwidth=1.8e12),
    inside=LINK,
    between=LINK,
)
WORKLOAD = Workload(
    batch_size=128,
    min_sequence_length=128,
    max_sequence_length=10240,
    kv_tokens_per_lane=8 * 10240,
    lanes_per_rank=1,
    step_tokens=512,
    steps_in_flight=4,
)
TARGETS = Targets(
    time_to_first_token=10.0,
    time_per_output_token=0.1,
    prefill_throughput_per_gpu=100_000.0,
    decode_throughput_per_gpu=100_000.0,
    memory_share=0.02,
    flops_share=0.6,
)
DEGREES = Degrees(expert=16, pipeline=16)


def model(chosen: int = 1) -> ModelShape:
    """10B parameters in 16 layers x 16 experts leave two matrices of 512 x 38,082 for an expert."""
    return ModelShape(
        layers=16,
        experts=16,
        experts_per_token=chosen,
        hidden=512,
        heads=16,
        kv_heads=16,
        head_dim=32,
        expert_ffn=38_082,
        vocab=0,
        gated=False,
        max_positions=10240,
        has_head_norms=False,
    )


def problem(chosen: int = 1, constraints: Constraints | None = None, targets: Targets = TARGETS) -> Problem:
    return Problem(
        shape=model(chosen),
        hardware=HARDWARE,
        workload=WORKLOAD,
        constraints=constraints or Constraints(),
        targets=targets,
    )
