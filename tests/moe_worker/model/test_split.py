"""Stages and experts apart, joined by payloads, compute bit for bit what one engine with everything computes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from moe_wire.messages import Sampling
from tests.moe_worker.model.driver import GREEDY, Driver, make_engine, whole_engine

EXPERTS, LAYERS = 8, 4


@pytest.fixture(scope="module")
def drivers(checkpoint: Callable[[str], Path]) -> tuple[Driver, Driver]:
    """One engine; and four stages of one layer, whose experts sit on four other engines of the stage."""
    folder = checkpoint("demo")
    stages, hosts = [], {}
    for stage in range(LAYERS):
        place = {"stage": stage, "stages": LAYERS, "first_layer": stage, "num_layers": 1}
        stages.append(make_engine(folder, [], **place))
        for rank in range(4):
            held = [stage * EXPERTS + rank * 2, stage * EXPERTS + rank * 2 + 1]
            hosts |= dict.fromkeys(held, make_engine(folder, held, **place))
    return Driver.whole(whole_engine(folder)), Driver(stages, hosts)


@pytest.mark.parametrize("how", [GREEDY, Sampling(temperature=0.8, top_k=40, top_p=0.9, seed=7)])
def test_a_split_model_generates_the_same_tokens(drivers: tuple[Driver, Driver], how: Sampling) -> None:
    whole, split = drivers
    text = list(range(20, 60))
    assert split.generate(text, 20, how, chunk=9) == whole.generate(text, 20, how)
    assert whole.logits is not None
    assert split.logits is not None
    assert torch.equal(whole.logits, split.logits)


def test_each_engine_reads_only_its_bytes(drivers: tuple[Driver, Driver]) -> None:
    whole, split = drivers
    c = whole.stages[0].config
    expert = 3 * c.hidden * c.expert_ffn
    norms_and_router = 2 * c.head_dim + 2 * c.hidden + c.experts * c.hidden
    layer = c.hidden * c.head_dim * (2 * c.heads + 2 * c.kv_heads) + norms_and_router
    ends = [c.vocab * c.hidden, 0, 0, c.vocab * c.hidden + c.hidden]
    for stage, engine in enumerate(split.stages):
        assert engine.bytes_read == 4 * (layer + ends[stage])
        assert split.hosts[stage * EXPERTS].bytes_read == 4 * (layer + ends[stage] + 2 * expert)
    assert whole.stages[0].bytes_read == 4 * (LAYERS * (layer + EXPERTS * expert) + sum(ends))


def test_a_step_without_samples_ends_in_no_tokens(drivers: tuple[Driver, Driver]) -> None:
    whole, _ = drivers
    sequence = next(whole.numbers)
    assert whole.step([(sequence, 0, [5, 6, 7], None)]) == {}
    whole.free(sequence)
