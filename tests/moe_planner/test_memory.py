from __future__ import annotations

from dataclasses import replace

from moe_planner.memory import (
    buffer_rows,
    expert_slice,
    experts_per_rank,
    experts_that_fit,
    memory_per_gpu,
    usable_bytes,
)
from moe_planner.model import LatentAttention
from moe_planner.result import Degrees
from tests.moe_planner.document import DEGREES, GB, HARDWARE, WORKLOAD, model

EXPERT = 2 * 512 * 38_082 * 2


def test_the_documents_gpu_holds_an_expert_a_share_of_attention_and_of_the_cache() -> None:
    memory = memory_per_gpu(model(), DEGREES, WORKLOAD, copies=1)
    assert memory.experts == EXPERT
    assert round(memory.weights / 1e6, 1) == 80.1
    assert memory.kv_cache == 8 * 10240 * 2048
    assert round(memory.kv_cache / 1e6, 1) == 167.8


def test_with_the_documents_activations_a_gpu_is_used_to_one_percent() -> None:
    memory = memory_per_gpu(model(), DEGREES, WORKLOAD, copies=1)
    used = memory.weights + memory.kv_cache + 500 * 10**6
    assert round(used / GB, 2) == 0.75
    assert round(100 * used / (64 * GB), 2) == 1.17


def test_the_cache_of_the_documents_batch() -> None:
    per_layer = model().kv_bytes(0, 10240)
    assert round(per_layer / 1e6, 2) == 20.97
    assert round(128 * per_layer / 1e9, 2) == 2.68
    assert round(128 * per_layer * 16 / 1e9, 2) == 42.95


def test_activations_of_the_document_are_gigabytes_unchunked_and_megabytes_in_chunks() -> None:
    """Rows of FFN width on one expert's GPU: tokens * chosen / 16 experts."""
    for chosen, whole, chunk in ((1, 6.2, 39), (2, 12.5, 78)):
        row = 38_082 * 2 * chosen / 16
        assert round(128 * 10240 * row / 1e9, 1) == whole
        assert round(8192 * row / 1e6) == chunk
        rows = buffer_rows(model(chosen), DEGREES, WORKLOAD, copies=1) * 512 * 2
        buffers = memory_per_gpu(model(chosen), DEGREES, WORKLOAD, copies=1).buffers
        assert buffers - rows == 8192 * row


def test_buffers_are_the_rows_that_admission_lets_in() -> None:
    """Own steps 1*4*512, asked and answered 2*1*512*k, asked of the one expert here by 16 lanes 2*16*512."""
    assert buffer_rows(model(), DEGREES, WORKLOAD, copies=1) == 2048 + 1024 + 16384
    assert buffer_rows(model(2), DEGREES, WORKLOAD, copies=1) == 2048 + 2048 + 16384
    assert buffer_rows(model(2), Degrees(expert=8, pipeline=16), WORKLOAD, copies=1) == 2048 + 2048 + 16384


def test_takeover_is_the_share_of_a_failed_neighbours_experts() -> None:
    assert memory_per_gpu(model(), DEGREES, WORKLOAD, copies=1).takeover == EXPERT
    alone = memory_per_gpu(model(), Degrees(expert=1, pipeline=16), WORKLOAD, copies=1)
    assert (alone.experts, alone.takeover) == (16 * EXPERT, 0)


def test_the_gpus_of_a_seat_share_experts_heads_and_tokens() -> None:
    one = memory_per_gpu(model(), DEGREES, WORKLOAD, copies=1)
    two = memory_per_gpu(model(), replace(DEGREES, tensor=2), WORKLOAD, copies=1)
    four = memory_per_gpu(model(), replace(DEGREES, tensor=2, sequence=2), WORKLOAD, copies=1)
    assert (two.experts, two.attention, two.kv_cache) == (one.experts // 2, one.attention // 2, one.kv_cache // 2)
    assert (four.experts, four.attention, four.kv_cache) == (one.experts // 4, one.attention // 2, one.kv_cache // 4)
    assert expert_slice(model(), replace(DEGREES, tensor=4)) == EXPERT // 4


def test_a_latent_cache_is_not_shared_by_tensor_ranks() -> None:
    latent = LatentAttention(kv_rank=512, query_rank=0, rope_dim=64, nope_dim=128, value_dim=128)
    shape = replace(model(), latent=latent)
    two = memory_per_gpu(shape, replace(DEGREES, tensor=2), WORKLOAD, copies=1)
    assert two.kv_cache == 8 * 10240 * (512 + 64) * 2


def test_the_fullest_stage_counts() -> None:
    """Three dense layers leave the first stage 5 layers of experts, and the second has 8."""
    shape = replace(model(), dense_layers=(0, 1, 2), dense_ffn=10)
    assert experts_per_rank(shape, Degrees(expert=16, pipeline=2), copies=1) == 8
    heavy = replace(model(), dense_layers=(0,), dense_ffn=10**6)
    assert memory_per_gpu(heavy, DEGREES, WORKLOAD, copies=1).experts == 0


def test_experts_fit_beside_everything_else() -> None:
    memory = memory_per_gpu(model(), DEGREES, WORKLOAD, copies=1)
    others = memory.total - memory.experts - memory.takeover
    assert experts_that_fit(model(), HARDWARE, DEGREES, WORKLOAD) == (usable_bytes(HARDWARE) - others) // EXPERT
    assert experts_that_fit(model(), replace(HARDWARE, gpu_memory_bytes=1), DEGREES, WORKLOAD) == 0
