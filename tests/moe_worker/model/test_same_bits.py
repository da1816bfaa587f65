"""The promise end to end: a sequence's logits have the same bits whatever the batch, the chunks and the history."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from moe_worker.model.batch import Batch
from moe_worker.model.engine import Engine
from moe_worker.protocol.compute import Routed
from tests.moe_worker.model.conftest import SHAPES
from tests.moe_worker.model.driver import GREEDY, Driver, whole_engine

LENGTH = 150
MAKE = Callable[[str], Path]
Alone = tuple[Driver, list[int], list[torch.Tensor]]


# Every shape in fp32; in the narrower types, and with torch's operations alone, those whose parts differ most.
CASES = [(shape, "float32", "kernels") for shape in SHAPES]
CASES += [(shape, "bfloat16", "kernels") for shape in ("demo", "gpt_oss", "deepseek_v2")]
CASES += [(shape, "float32", "torch") for shape in ("demo", "narrow", "mid", "gpt_oss", "deepseek_v2")]
CASES += [("demo", "bfloat16", "torch"), ("qwen2_moe", "float16", "torch")]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def alone(request: pytest.FixtureRequest, checkpoint: MAKE) -> Alone:
    """A driver, a text, and the logits after each of its tokens when it is decoded alone, token by token."""
    shape, dtype, operations = request.param
    driver = Driver.whole(whole_engine(checkpoint(shape), dtype, has_kernels=operations == "kernels"))
    text = [random.Random(1).randrange(3, 300) for _ in range(LENGTH)]
    sequence, logits = next(driver.numbers), []
    for position, token in enumerate(text):
        driver.step([(sequence, position, [token], GREEDY)])
        assert driver.logits is not None
        logits.append(driver.logits[0])
    driver.free(sequence)
    return driver, text, logits


def prefill(driver: Driver, text: Sequence[int], chunks: Sequence[int]) -> dict[int, torch.Tensor]:
    """The logits at the end of each chunk, by position."""
    sequence, start, seen = next(driver.numbers), 0, {}
    for count in chunks:
        driver.step([(sequence, start, text[start : start + count], GREEDY)])
        start += count
        assert driver.logits is not None
        seen[start - 1] = driver.logits[0]
    driver.free(sequence)
    return seen


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 64, 65, 127, 128, 129, LENGTH])
def test_a_whole_prefill_equals_decoding(alone: Alone, length: int) -> None:
    driver, text, logits = alone
    assert torch.equal(prefill(driver, text, [length])[length - 1], logits[length - 1])


@pytest.mark.parametrize("chunks", [[16, 16, 16], [1, 1, 1], [7, 64, 3, 1, 66], [100, 1, 1, 28, 20], [2, 63, 85]])
def test_chunks_change_nothing(alone: Alone, chunks: list[int]) -> None:
    driver, text, logits = alone
    for position, seen in prefill(driver, text, chunks).items():
        assert torch.equal(seen, logits[position])


@pytest.mark.parametrize("seed", range(4))
def test_company_changes_nothing(alone: Alone, seed: int) -> None:
    """Many sequences of one text at random places, chunks and decodes mixed, blocks reused in any order."""
    driver, text, logits = alone
    rng, running = random.Random(seed), dict[int, int]()
    for _ in range(25):
        while len(running) < rng.choice((1, 3, 6, 10)):
            running[next(driver.numbers)] = 0
        work = []
        for sequence in rng.sample(sorted(running), rng.randint(1, len(running))):
            start = running[sequence]
            count = min(rng.choice((1, 1, 1, 2, 5, 17, 80)), LENGTH - start)
            work.append((sequence, start, text[start : start + count], GREEDY))
            running[sequence] = start + count
        driver.step(work)
        assert driver.logits is not None
        for row, (sequence, *_) in enumerate(work):
            assert torch.equal(driver.logits[row], logits[running[sequence] - 1])
        ended = [s for s, length in running.items() if length == LENGTH or (length and rng.random() < 0.05)]
        for sequence in ended:
            driver.free(sequence)
            del running[sequence]
    for sequence in filter(running.get, running):
        driver.free(sequence)
    assert driver.stages[0].blocks_in_use(driver.lane) == 0


def test_a_long_text_crosses_every_tile_with_the_same_bits(alone: Alone) -> None:
    """Past the 192 keys that MKL sums in one run: decodes, chunks of any size, and padding by a longer neighbour."""
    driver, _, _ = alone
    text = [random.Random(2).randrange(3, 300) for _ in range(420)]
    ends = prefill(driver, text, [129, 1, 20, 60, 1, 1, 7, 50, 100, 14, 1, 34, 1, 1])
    for position in (210, 211, 383, 418, 419):
        assert torch.equal(prefill(driver, text, [position, 1])[position], ends[position])
    long, short = next(driver.numbers), next(driver.numbers)
    driver.step([(long, 0, text[:419], None), (short, 0, text[:300], None)])
    driver.step([(short, 300, text[300:384], None), (long, 419, text[419:], GREEDY)])
    assert driver.logits is not None
    assert torch.equal(driver.logits[0], ends[419])
    for sequence in (long, short):
        driver.free(sequence)


def test_recomputing_after_a_reset_goes_on_with_the_same_bits(alone: Alone) -> None:
    driver, text, logits = alone
    sequence = next(driver.numbers)
    driver.step([(sequence, 0, text[:70], GREEDY)])
    driver.stages[0].drop_lane(driver.lane)
    driver.stages[0].open_lane(driver.lane)
    driver.blocks += driver.tables.pop(sequence)
    seen = prefill(driver, text, [71, 1, 1])
    for position in (70, 71, 72):
        assert torch.equal(seen[position], logits[position])


def first_routed(engine: Engine, batch: Batch) -> Sequence[Routed]:
    """What the first layer that has experts sends them."""
    for layer in engine.settings.layers:
        if routed := engine.attend(batch, layer):
            return routed
        engine.combine(batch, layer, {})
    raise AssertionError("no layer has experts")


def test_batching_an_experts_rows_from_many_lanes_changes_nothing(alone: Alone) -> None:
    driver, text, _ = alone
    engine = driver.stages[0]
    sequences = [next(driver.numbers) for _ in range(3)]
    segments = [driver.segment(s, 0, count, GREEDY) for s, count in zip(sequences, (1, 40, 2), strict=True)]
    batches = [engine.begin(0, [segment], [text[: segment.count]], None) for segment in segments]
    routed = [part for batch in batches for part in first_routed(engine, batch)]
    for expert in {part.expert for part in routed}:
        parts = [part.rows for part in routed if part.expert == expert]
        together = engine.expert(expert, parts)
        for part, answer in zip(parts, together, strict=True):
            assert bytes(engine.expert(expert, [part])[0].data) == bytes(answer.data)
            assert answer.shape == part.shape
    for sequence in sequences:
        driver.free(sequence)
