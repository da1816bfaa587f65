"""One process with everything computes what `transformers` computes from the same folder."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.moe_worker.model.conftest import SHAPES
from tests.moe_worker.model.driver import GREEDY, Driver, whole_engine

Pair = tuple[Driver, Any]


def prompt(length: int) -> list[int]:
    return [random.Random(length).randrange(3, 300) for _ in range(length)]


@pytest.fixture(scope="module", params=SHAPES)
def pair(request: pytest.FixtureRequest, checkpoint: Callable[[str], Path]) -> Pair:
    folder = checkpoint(request.param)
    return Driver.whole(whole_engine(folder)), AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("length", [1, 7, 100])
def test_logits_are_those_of_transformers(pair: Pair, length: int) -> None:
    driver, reference = pair
    sequence = next(driver.numbers)
    driver.step([(sequence, 0, prompt(length), GREEDY)])
    driver.free(sequence)
    with torch.inference_mode():
        expected = reference(torch.tensor([prompt(length)])).logits[0, -1]
    torch.testing.assert_close(driver.logits[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("length", [3, 50, 300])
def test_greedy_tokens_are_those_of_transformers(pair: Pair, length: int) -> None:
    driver, reference = pair
    ids = torch.tensor([prompt(length)])
    expected = reference.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False)
    assert driver.generate(prompt(length), 24, chunk=16) == expected[0, length:].tolist()


def test_a_batch_of_long_and_short_prompts_gives_each_its_tokens(pair: Pair) -> None:
    driver, reference = pair
    lengths, out = (2, 45, 200), dict[int, list[int]]()
    numbers = {next(driver.numbers): length for length in lengths}
    work = [(number, 0, prompt(length), GREEDY) for number, length in numbers.items()]
    for step in range(6):
        for number, token in driver.step(work).items():
            out.setdefault(number, []).append(token)
        work = [(number, numbers[number] + step, out[number][-1:], GREEDY) for number in numbers]
    for number, length in numbers.items():
        driver.free(number)
        ids = torch.tensor([prompt(length)])
        expected = reference.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)
        assert out[number] == expected[0, length:].tolist()


# How near the logits of a narrower type are to transformers' in the same type: 1 - cosine at most. A token whose router
# is nearly tied may go elsewhere for a rounding error, so both are right and differ: hence the room, and short prompts.
TOLERANCES = {"bfloat16": 0.005, "float16": 0.0005}


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("shape", SHAPES)
def test_narrower_types_are_close_to_transformers(checkpoint: Callable[[str], Path], shape: str, dtype: str) -> None:
    driver = Driver.whole(whole_engine(checkpoint(shape), dtype))
    reference = AutoModelForCausalLM.from_pretrained(checkpoint(shape), dtype=getattr(torch, dtype))
    driver.step([(1, 0, prompt(2), GREEDY)])
    with torch.inference_mode():
        expected = reference(torch.tensor([prompt(2)])).logits[0, -1]
    assert driver.logits is not None
    assert 1 - torch.cosine_similarity(driver.logits[0].float(), expected.float(), dim=0) < TOLERANCES[dtype]
