"""What the model says of a prompt's own tokens: transformers' numbers, and the same bits however the prompt is cut."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from moe_wire.messages import Logprobs, Scoring
from moe_worker.protocol.compute import Sampled
from tests.moe_worker.model.driver import GREEDY, Driver, whole_engine

PROMPT = [random.Random(3).randrange(3, 300) for _ in range(150)]


def scores(driver: Driver, chunks: list[int]) -> list[Logprobs]:
    """Of the prompt's tokens from the second on, computed in chunks beside another sequence."""
    [engine], told, start = driver.stages, list[Logprobs](), 0
    number, other = next(driver.numbers), next(driver.numbers)
    for count in chunks:
        end = start + count
        is_last = end == len(PROMPT)
        beside = driver.segment(other, start, 1, GREEDY) if not start else None
        segment = driver.segment(number, start, count, GREEDY if is_last else None)
        segments = [replace(segment, scoring=Scoring(2, tuple(PROMPT[start + 1 : end + 1])))]
        tokens = [PROMPT[start:end]]
        if beside is not None:
            segments, tokens = [beside, *segments], [[5], *tokens]
        batch = engine.begin(driver.lane, segments, tokens, None)
        for layer in engine.settings.layers:
            routed = engine.attend(batch, layer)
            engine.combine(batch, layer, {one.expert: engine.expert(one.expert, [one.rows])[0] for one in routed})
        result = engine.finish(batch)
        assert isinstance(result, Sampled)
        [(named, these)] = result.scored
        assert named == number
        told += these
        start = end
    driver.free(number)
    driver.free(other)
    return told


@pytest.mark.parametrize("shape", ["demo", "gpt_oss"])
def test_a_prompt_s_logprobs_are_those_of_transformers_in_any_chunks(
    checkpoint: Callable[[str], Path], shape: str
) -> None:
    folder = checkpoint(shape)
    with torch.inference_mode():
        logits = AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([PROMPT])).logits[0]
        driver = Driver.whole(whole_engine(folder))
        told = scores(driver, [150])
        assert scores(driver, [1, 15, 64, 70]) == told
    expected = torch.log_softmax(logits.double(), -1)
    torch.testing.assert_close(
        torch.tensor([one.chosen for one in told], dtype=torch.double),
        expected[range(149), PROMPT[1:]],
        rtol=1e-4,
        atol=1e-4,
    )
    assert [[token for token, _ in one.top] for one in told] == expected[:-1].topk(2).indices.tolist()
