"""Writes the folder that ships: an ordinary Hugging Face checkpoint in bfloat16, the measured loads, the model card."""

import json
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen3MoeForCausalLM

from training import corpus
from training.card import Facts, write_card
from training.held_out import HeldOut, measure
from training.recipe import Recipe
from training.routing import RoutingWatch
from training.samples import take_samples

LOADS = "loads.json"


def publish(
    model: Qwen3MoeForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    *,
    recipe: Recipe,
    held_out_text: torch.Tensor,
    folder: Path,
) -> HeldOut:
    """Put everything into `folder`; what is told of the model is measured on the rounded weights that are in it."""
    folder.mkdir(parents=True, exist_ok=True)
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    rounded = Qwen3MoeForCausalLM.from_pretrained(folder, dtype=torch.float32)
    measured = measure(rounded, RoutingWatch(rounded), held_out_text)
    (folder / LOADS).write_text(loads_json(measured))
    facts = Facts(
        parameters=rounded.num_parameters(),
        megabytes=(folder / "model.safetensors").stat().st_size / 1e6,
        recipe=recipe,
        held_out=measured,
        samples=take_samples(rounded, tokenizer),
    )
    (folder / "README.md").write_text(write_card(facts))
    for file in folder.iterdir():
        file.chmod(0o644)
    return measured


def loads_json(measured: HeldOut) -> str:
    """In the planner's format: `counts` by layer, then expert; a layer a line."""
    source = f"{measured.tokens} tokens of held-out chapters, {corpus.PACKAGE}"
    rows = ",\n  ".join(json.dumps(row) for row in measured.counts)
    return f'{{\n "source": {json.dumps(source)},\n "counts": [\n  {rows}\n ]\n}}\n'
