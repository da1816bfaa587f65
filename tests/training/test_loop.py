from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tests.training.conftest import CHAPTER
from training.loop import Step, Training
from training.model import make_model
from training.recipe import Recipe
from training.routing import RoutingWatch
from training.vocabulary import encode

RECIPE = Recipe(steps=6, tokens_per_step=64, window=16, long_window=32, warmup_steps=2, decay=0.34)


class Stopped(Exception):
    pass


def begin(tokenizer: PreTrainedTokenizerFast, folder: Path) -> Training:
    model = make_model(tokenizer, RECIPE.seed)
    return Training(model, RoutingWatch(model), RECIPE, folder)


def test_an_interrupted_run_ends_with_the_weights_of_an_unbroken_one(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    text = encode(tokenizer, [CHAPTER] * 4)
    unbroken, told = begin(tokenizer, tmp_path), list[Step]()
    unbroken.run(text, tell=told.append)
    assert [step.number for step in told] == [0, 1, 2, 3, 4, 5]
    (tmp_path / "resume.pt").unlink()

    def stop(step: Step) -> None:
        if step.number == 4:
            raise Stopped

    with pytest.raises(Stopped):
        begin(tokenizer, tmp_path).run(text, tell=stop, save_every=2)
    resumed, told = begin(tokenizer, tmp_path), list[Step]()
    resumed.resume()
    resumed.run(text, tell=told.append)
    assert [step.number for step in told] == [4, 5]
    weights = zip(unbroken.model.parameters(), resumed.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in weights)


def test_training_lowers_the_loss(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    training, told = begin(tokenizer, tmp_path), list[Step]()
    training.run(encode(tokenizer, [CHAPTER] * 4), tell=told.append)
    assert told[-1].loss < told[0].loss - 0.5
