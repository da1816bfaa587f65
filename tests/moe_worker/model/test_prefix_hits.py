"""A lane's scheduler over an engine: what is found in the cache gives the same bits as what is computed."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from moe_wire.messages import Sampling, Submit
from moe_worker.model.engine import Engine
from moe_worker.protocol.draft import Micro
from moe_worker.protocol.scheduler import Scheduler
from moe_worker.protocol.sequence import Sequence as Request
from tests.moe_worker.model.conftest import SHAPES
from tests.moe_worker.model.driver import whole_engine

BLOCK_SIZE, MAX_STEP_TOKENS, NEW_TOKENS = 16, 96, 8
TEXT = [random.Random(5).randrange(3, 300) for _ in range(330)]
# Prompts that begin alike, by up to 19 blocks, and end differently.
PROMPTS = [
    TEXT[:300],
    TEXT[:320],
    [*TEXT[:160], *[7] * 100],
    TEXT[:33],
    TEXT[:32],
    [*TEXT[:159], 9],
    TEXT[:300],
    [5, *TEXT[:50]],
]


class Lane:
    """Runs prompts through the scheduler's steps, and keeps the logits that each token was taken from."""

    def __init__(self, engine: Engine, num_blocks: int) -> None:
        self.engine = engine
        self.plan = Scheduler(block_size=BLOCK_SIZE, num_blocks=num_blocks, max_step_tokens=MAX_STEP_TOKENS)
        engine.open_lane(0)

    def generate(self, prompts: Sequence[Sequence[int]]) -> list[list[torch.Tensor]]:
        logits: dict[bytes, list[torch.Tensor]] = {}
        for index, prompt in enumerate(prompts):
            submit = Submit(index.to_bytes(16, "big"), tuple(prompt), (), Sampling(), NEW_TOKENS, ())
            logits[submit.request] = []
            self.plan.add(Request(submit, connection=1))
        while (micro := self.plan.form()) is not None:
            for number, token, row in self._execute(micro):
                sequence = self.plan.accept(number, token)
                assert sequence is not None
                logits[sequence.request].append(row)
                if sequence.finish:
                    self.plan.remove(sequence)
        return list(logits.values())

    def _execute(self, micro: Micro) -> list[tuple[int, int, torch.Tensor]]:
        engine = self.engine
        engine.free(0, micro.freed)
        batch = engine.begin(0, micro.segments, micro.tokens, None)
        for layer in engine.settings.layers:
            answers = {one.expert: engine.expert(one.expert, [one.rows])[0] for one in engine.attend(batch, layer)}
            engine.combine(batch, layer, answers)
        if not any(segment.sampling for segment in micro.segments):
            return []
        rows, sampled = engine.logits(batch).clone(), engine.finish(batch)
        return [(number, token, row) for (number, token), row in zip(sampled.tokens, rows, strict=True)]


@pytest.fixture(scope="module", params=SHAPES)
def engine(request: pytest.FixtureRequest, checkpoint: Callable[[str], Path]) -> Engine:
    return whole_engine(checkpoint(request.param), block_size=BLOCK_SIZE, blocks_per_lane=256)


@pytest.fixture(scope="module")
def alone(engine: Engine) -> list[list[torch.Tensor]]:
    """The logits of each prompt in a lane of its own."""
    return [Lane(engine, 256).generate([prompt])[0] for prompt in PROMPTS]


def assert_equal(made: list[list[torch.Tensor]], alone: list[list[torch.Tensor]]) -> None:
    for rows, expected in zip(made, alone, strict=True):
        assert len(rows) == NEW_TOKENS
        assert all(torch.equal(row, other) for row, other in zip(rows, expected, strict=True))


def test_prompts_that_begin_alike_share_and_no_bit_changes(engine: Engine, alone: list[list[torch.Tensor]]) -> None:
    lane = Lane(engine, 256)
    assert_equal(lane.generate(PROMPTS), alone)
    assert lane.plan.tokens_found == 288 + 160 + 32 + 16 + 144 + 288


def test_a_second_time_all_but_the_end_is_found(engine: Engine, alone: list[list[torch.Tensor]]) -> None:
    lane = Lane(engine, 256)
    lane.generate(PROMPTS)
    before = lane.plan.tokens_found
    assert_equal(lane.generate(PROMPTS), alone)
    assert lane.plan.tokens_found - before == sum((len(prompt) - 1) // BLOCK_SIZE * BLOCK_SIZE for prompt in PROMPTS)


def test_where_blocks_are_few_they_are_given_up_and_computed_again(
    engine: Engine, alone: list[list[torch.Tensor]]
) -> None:
    lane = Lane(engine, 24)
    for _ in range(2):
        assert_equal(lane.generate(PROMPTS), alone)
    assert lane.plan.tokens_found > 0
