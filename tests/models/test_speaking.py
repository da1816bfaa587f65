import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from demo.tour import SPEAKERS
from moe_planner.inputs import Loads
from tests.moe_worker.model.driver import GREEDY, Driver, whole_engine

FOLDER = Path(__file__).parents[2] / "models" / "speaking"
PROMPTS = [f"{name} {verb}" for name in SPEAKERS for verb in ("said", "went", "lifted up")]
PROMPT_TOKENS, NEW_TOKENS = 2, 210
NEARLY_TIED = 1e-3
"""Logits this near to each other may come out in either order for a rounding error."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    prompt: int
    position: int
    margin: float
    """By how much transformers' own first logit beats its second."""


def test_it_is_small_enough_to_ship() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 12_000_000


def test_its_loads_are_the_planner_s_and_as_uneven_as_a_real_model_s() -> None:
    read = json.loads((FOLDER / "loads.json").read_text())
    loads = Loads(kind="measured", source=read["source"], counts=tuple(map(tuple, read["counts"])))
    assert [len(row) for row in loads.counts] == [16] * 16
    skews = [max(row) * len(row) / sum(row) for row in loads.counts]
    assert min(skews) >= 2
    assert max(skews) <= 5
    assert min(count for row in loads.counts for count in row) > 0


def prompts() -> torch.Tensor:
    """[prompts, PROMPT_TOKENS]: the first tokens of each, all equally long, so that none is padded."""
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    return torch.tensor([tokenizer(text).input_ids[:PROMPT_TOKENS] for text in PROMPTS])


@torch.inference_mode()
def greedy(model: Any, inputs: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """transformers' [prompts, count] tokens, and by how much each beat the second; past stop tokens too."""
    tokens, margins, cache = [], [], None
    for _ in range(count):
        output = model(input_ids=inputs, past_key_values=cache, use_cache=True)
        cache, best = output.past_key_values, output.logits[:, -1].topk(2)
        tokens.append(best.indices[:, 0])
        margins.append(best.values[:, 0] - best.values[:, 1])
        inputs = tokens[-1][:, None]
    return torch.stack(tokens, 1), torch.stack(margins, 1)


def differences(driver: Driver, begin: torch.Tensor, tokens: torch.Tensor, margins: torch.Tensor) -> list[Difference]:
    """Where the engine, given transformers' tokens so far, would say another next; ran freely it says the same until
    the first of a prompt."""
    found, numbers = [], range(1, len(begin) + 1)
    work = [(number, 0, begin[number - 1].tolist(), GREEDY) for number in numbers]
    for position in range(tokens.shape[1]):
        said = driver.step(work)
        for row, number in enumerate(numbers):
            if said[number] != tokens[row, position]:
                found.append(Difference(prompt=row, position=position, margin=margins[row, position].item()))
        work = [(n, begin.shape[1] + position, [int(tokens[n - 1, position])], GREEDY) for n in numbers]
    return found


@pytest.mark.slow
def test_ten_thousand_greedy_tokens_are_those_of_transformers_and_the_rest_are_ties() -> None:
    begin = prompts()
    tokens, margins = greedy(AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32), begin, NEW_TOKENS)
    assert tokens.numel() >= 10_000
    driver = Driver.whole(whole_engine(FOLDER, blocks_per_lane=768), blocks=768)
    found = differences(driver, begin, tokens, margins)
    assert len(found) <= tokens.numel() // 1000
    assert [one for one in found if one.margin > NEARLY_TIED] == []
