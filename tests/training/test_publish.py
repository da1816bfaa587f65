import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from moe_planner.inputs import Loads
from tests.training.conftest import CHAPTER
from training.held_out import HeldOut
from training.model import make_model
from training.publish import LOADS, publish
from training.recipe import Recipe
from training.vocabulary import encode


@pytest.fixture(scope="module")
def published(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HeldOut]:
    folder = tmp_path_factory.mktemp("models") / "made"
    text = encode(tokenizer, [CHAPTER] * 20)
    return folder, publish(make_model(tokenizer, 0), tokenizer, recipe=Recipe(), held_out_text=text, folder=folder)


def test_transformers_loads_the_folder_as_it_is(published: tuple[Path, HeldOut]) -> None:
    folder, _ = published
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained(folder).decode(AutoTokenizer.from_pretrained(folder)("God").input_ids) == "God"


def test_the_loads_are_the_planner_s(published: tuple[Path, HeldOut]) -> None:
    folder, measured = published
    read = json.loads((folder / LOADS).read_text())
    loads = Loads(kind="measured", source=read["source"], counts=tuple(map(tuple, read["counts"])))
    assert [list(row) for row in loads.counts] == measured.counts
    assert [sum(row) for row in loads.counts] == [2 * measured.tokens] * 16


def test_the_card_says_what_was_measured(published: tuple[Path, HeldOut]) -> None:
    folder, measured = published
    card = (folder / "README.md").read_text()
    assert f"Loss {measured.loss:.3f} nats a token" in card
    assert "| busiest | " + " | ".join(f"{skew:.1f}" for skew in measured.skews) + " |" in card
    assert "> **In the beginning God**" in card
