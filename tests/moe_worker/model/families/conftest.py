import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.moe_worker.model.driver import GREEDY, Driver, whole_engine

SIZES: dict[str, Any] = {"vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"num_key_value_heads": 2, "num_experts_per_tok": 2, "max_position_embeddings": 2048, "initializer_range": 0.2}
SIZES |= {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
PROMPT = [random.Random(5).randrange(300) for _ in range(70)]


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """The folder of a random checkpoint of a family, with these values in its config.json."""

    def save(family: str, **values: Any) -> Path:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **(SIZES | values)))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "norm" in name or name.endswith("bias"):
                    parameter.uniform_(0.75, 1.25)
        model.save_pretrained(tmp_path / family)
        return tmp_path / family

    return save


def assert_equal_to_transformers(folder: Path) -> Driver:
    """Of the logits after each part of the prompt; the driver that gave them."""
    driver, reference = Driver.whole(whole_engine(folder)), AutoModelForCausalLM.from_pretrained(folder)
    with torch.inference_mode():
        expected = reference(torch.tensor([PROMPT])).logits[0]
    for start, end in ((0, 40), (40, 41), (41, 70)):
        driver.step([(1, start, PROMPT[start:end], GREEDY)])
        assert driver.logits is not None
        torch.testing.assert_close(driver.logits[0], expected[end - 1], rtol=1e-4, atol=1e-4)
    return driver


@pytest.fixture
def changed() -> Callable[..., None]:
    """Changes values of a folder's config.json."""

    def change(folder: Path, **values: Any) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | values))

    return change
