"""A few greedy continuations, so that a person sees what was learned."""

from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen3MoeForCausalLM

BEGINNINGS = (
    "In the beginning God",
    "Now when Jesus heard this, he",
    "The king of Israel said to the prophet,",
    "Blessed is the man who",
)
SAMPLE_TOKENS = 48


@torch.no_grad()
def take_samples(model: Qwen3MoeForCausalLM, tokenizer: PreTrainedTokenizerFast) -> list[tuple[str, str]]:
    """Each beginning with what the model says next."""
    model.train(False)
    return [(beginning, _continue(model, tokenizer, beginning)) for beginning in BEGINNINGS]


def _continue(model: Any, tokenizer: PreTrainedTokenizerFast, beginning: str) -> str:
    inputs = tokenizer(beginning, return_tensors="pt")
    output = model.generate(
        inputs.input_ids, attention_mask=inputs.attention_mask, do_sample=False, max_new_tokens=SAMPLE_TOKENS
    )
    return str(tokenizer.decode(output[0, inputs.input_ids.shape[1] :], skip_special_tokens=True))
