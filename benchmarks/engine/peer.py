"""`transformers` at its best on a CPU: sdpa, grouped_mm, no gradients; and its own continuous batching."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache, GenerationConfig

PADDING = 0


class Peer:
    """One checkpoint, greedy."""

    name = "transformers"

    def __init__(self, folder: Path, dtype: str) -> None:
        torch.set_num_threads(1)
        self._model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), attn_implementation="sdpa"
        )
        self._model.set_experts_implementation("grouped_mm")

    @torch.inference_mode()
    def begin(self, prompts: Sequence[Sequence[int]]) -> None:
        """Prefill of prompts of one length."""
        self._cache = DynamicCache(config=self._model.config)
        self._next(torch.tensor(prompts))

    @torch.inference_mode()
    def step(self) -> None:
        """One token more of each."""
        self._next(self._tokens)

    def generate(self, prompts: Sequence[Sequence[int]], tokens: int) -> None:
        """All of them as one static batch, padded on the left."""
        width = max(map(len, prompts))
        ids = torch.tensor([[PADDING] * (width - len(prompt)) + list(prompt) for prompt in prompts])
        seen = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        self._model.generate(ids, attention_mask=seen, generation_config=_greedy(tokens))

    def generate_continuously(self, prompts: Sequence[Sequence[int]], tokens: int) -> None:
        """With its continuous batching."""
        answers = self._model.generate_batch([list(prompt) for prompt in prompts], generation_config=_greedy(tokens))
        assert len(answers) == len(prompts), f"{len(answers)} of {len(prompts)} requests were answered"

    def _next(self, ids: torch.Tensor) -> None:
        logits = self._model(ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1).logits
        self._tokens = logits.argmax(-1)


def _greedy(tokens: int) -> GenerationConfig:
    return GenerationConfig(  # type: ignore[no-untyped-call]  # transformers types it not
        max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=PADDING, eos_token_id=-1
    )
