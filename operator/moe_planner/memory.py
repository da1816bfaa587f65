"""What one GPU must hold: weights, KV cache, buffers and room for a failed neighbour. Bytes, exact for the worker."""

from dataclasses import dataclass
from math import ceil

from moe_planner.inputs import Hardware, Workload
from moe_planner.model import ModelShape
from moe_planner.result import Degrees

# Assumed: what the driver, the runtime and fragmentation leave of a GPU's memory.
USABLE_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on the fullest GPU of the layout."""

    experts: int
    takeover: int
    attention: int
    embeddings: int
    kv_cache: int
    buffers: int

    @property
    def total(self) -> int:
        return self.experts + self.takeover + self.attention + self.embeddings + self.kv_cache + self.buffers


def layers_of_stages(layers: int, stages: int) -> tuple[int, ...]:
    """Layers of each stage: as even as can be, the first stages take what remains."""
    return tuple(layers // stages + (stage < layers % stages) for stage in range(stages))


def experts_per_rank(shape: ModelShape, degrees: Degrees, copies: int) -> int:
    """Experts on the fullest rank."""
    layers = layers_of_stages(shape.layers, degrees.pipeline)[0]
    return copies * ceil(shape.experts * layers / degrees.expert)


def memory_per_gpu(shape: ModelShape, degrees: Degrees, workload: Workload, copies: int) -> Memory:
    """The fullest GPU. `takeover` is its share of the experts of one failed GPU of its stage.

    KV cache: lanes per rank * tokens per lane * bytes per token and layer * layers of the stage.
    Buffers: lanes per rank * steps in flight * tokens * hidden * (hidden in, hidden out, one row per chosen expert).
    """
    layers = layers_of_stages(shape.layers, degrees.pipeline)[0]
    held = experts_per_rank(shape, degrees, copies)
    survivors = max(1, degrees.expert - 1)
    rows = workload.lanes_per_rank * workload.steps_in_flight * workload.step_tokens
    return Memory(
        experts=held * shape.expert_bytes,
        takeover=0 if degrees.expert == 1 else ceil(held / survivors) * shape.expert_bytes,
        attention=layers * shape.attention_bytes,
        embeddings=shape.embedding_bytes * (2 if degrees.pipeline == 1 else 1),
        kv_cache=workload.lanes_per_rank * workload.kv_tokens_per_lane * shape.kv_bytes_per_token_per_layer * layers,
        buffers=rows * shape.hidden * shape.bytes_per_number * (2 + shape.experts_per_token),
    )


def usable_bytes(hardware: Hardware) -> int:
    return int(hardware.gpu_memory_bytes * USABLE_SHARE)


def experts_that_fit(shape: ModelShape, hardware: Hardware, degrees: Degrees, workload: Workload) -> int:
    """How many experts one GPU can hold beside everything else; at least 0."""
    needs = memory_per_gpu(shape, degrees, workload, copies=1)
    others = needs.total - needs.experts - needs.takeover
    return max(0, (usable_bytes(hardware) - others) // shape.expert_bytes)
