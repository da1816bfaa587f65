"""What one GPU must hold: weights, KV cache, buffers and room for a failed neighbour. Bytes, exact for the worker.

Where the device is a CPU, each process has a constant beside it, in the pod's memory: Python with torch, which the
pod's ranks share until they write to it. `python -m benchmarks.engine.memory` measures it.
"""

from dataclasses import dataclass
from math import ceil

from moe_planner.inputs import Hardware, Workload
from moe_planner.model import ModelShape
from moe_planner.result import Degrees
from moe_planner.sizes import StageSizes, stage_sizes

# Assumed: what the driver, the runtime and fragmentation leave of a GPU's memory.
USABLE_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on the fullest GPU of the layout. `attention` is all that every lane visits, shared experts too."""

    experts: int
    takeover: int
    attention: int
    embeddings: int
    kv_cache: int
    buffers: int

    @property
    def weights(self) -> int:
        """What is loaded when nothing has failed."""
        return self.experts + self.attention + self.embeddings

    @property
    def total(self) -> int:
        return self.weights + self.takeover + self.kv_cache + self.buffers


def experts_per_rank(shape: ModelShape, degrees: Degrees, copies: int, extra: int = 0) -> int:
    """Experts on the fullest rank of any stage: `copies` of each, and `extra` ones in the stage."""
    stages = stage_sizes(shape, degrees.pipeline)
    return max(_held(stage, shape, degrees, copies) for stage in stages) + ceil(extra / degrees.expert)


def memory_per_gpu(shape: ModelShape, degrees: Degrees, workload: Workload, copies: int, extra: int = 0) -> Memory:
    """The fullest GPU. `takeover` is its share of the experts of one failed GPU of its stage.

    KV cache: lanes per rank * tokens per lane * bytes per token of the stage's layers.
    """
    stages = stage_sizes(shape, degrees.pipeline)
    more = ceil(extra / degrees.expert)
    return max(
        (
            memory_of_rank(stage, shape, degrees, workload, _held(stage, shape, degrees, copies) + more, copies)
            for stage in stages
        ),
        key=lambda memory: memory.total,
    )


def memory_of_rank(
    stage: StageSizes, shape: ModelShape, degrees: Degrees, workload: Workload, held: int, copies: int
) -> Memory:
    """One GPU of a rank that holds so many experts of its stage."""
    tokens = workload.lanes_per_rank * workload.kv_tokens_per_lane
    return Memory(
        experts=held * expert_slice(shape, degrees),
        takeover=0 if degrees.expert == 1 else ceil(held / (degrees.expert - 1)) * expert_slice(shape, degrees),
        attention=ceil(stage.lane_bytes / degrees.tensor),
        embeddings=ceil(stage.embeddings * shape.embedding_bytes / degrees.tensor),
        kv_cache=ceil(tokens * stage.kv_bytes_per_token / kv_shards(shape, degrees)),
        buffers=_buffers(shape, degrees, workload, copies),
    )


def usable_bytes(hardware: Hardware) -> int:
    return int(hardware.gpu_memory_bytes * USABLE_SHARE)


def experts_that_fit(shape: ModelShape, hardware: Hardware, degrees: Degrees, workload: Workload) -> int:
    """How many experts one GPU can hold beside everything else; at least 0."""
    needs = memory_per_gpu(shape, degrees, workload, copies=1)
    others = needs.total - needs.experts - needs.takeover
    return max(0, (usable_bytes(hardware) - others) // expert_slice(shape, degrees))


def expert_slice(shape: ModelShape, degrees: Degrees) -> int:
    """Bytes of one expert on one GPU: the GPUs of a seat share each expert evenly."""
    return ceil(shape.expert_bytes / degrees.gpus_per_seat)


def buffer_rows(shape: ModelShape, degrees: Degrees, workload: Workload, copies: int) -> int:
    """Rows of hidden size that a rank can be made to hold, as the worker's admission bounds them.

    With L lanes per rank, M steps of T tokens in flight, k experts per token and R ranks in the stage: L*M*T wait or
    are under way, L*T*k are asked of others with as many answers, and R*T*min(k, experts of a layer here) are asked
    of this rank, with as many answers.
    """
    lanes, tokens = workload.lanes_per_rank, workload.step_tokens
    chosen_here = min(shape.experts_per_token, ceil(copies * shape.experts / degrees.expert))
    own = lanes * workload.steps_in_flight * tokens + 2 * lanes * tokens * shape.experts_per_token
    return own + 2 * degrees.expert * tokens * chosen_here


def kv_shards(shape: ModelShape, degrees: Degrees) -> int:
    """GPUs that share one lane's KV cache: heads go to tensor ranks, tokens to sequence ranks.

    A latent cache has no heads to share, so every tensor rank holds it.
    """
    by_heads = 1 if shape.latent is not None else min(degrees.tensor, shape.kv_heads)
    return by_heads * degrees.sequence


def _held(stage: StageSizes, shape: ModelShape, degrees: Degrees, copies: int) -> int:
    return copies * ceil(shape.experts * stage.expert_layers / degrees.expert)


def _buffers(shape: ModelShape, degrees: Degrees, workload: Workload, copies: int) -> int:
    """Rows of hidden size, and the rows of FFN width that an expert makes of its share of one step of all lanes."""
    rows = buffer_rows(shape, degrees, workload, copies) * shape.hidden
    inner = workload.step_tokens * shape.experts_per_token * shape.expert_ffn * (2 if shape.gated else 1)
    return (rows + ceil(inner / degrees.gpus_per_seat)) * shape.bytes_per_number
