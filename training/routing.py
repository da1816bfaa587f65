"""Which experts the tokens choose: watched at the routers, counted, and kept from dying."""

from typing import Any

import torch
from transformers import Qwen3MoeForCausalLM


class RoutingWatch:
    """Holds what each layer's router said in the last forward pass, as [tokens, experts] logits by layer."""

    def __init__(self, model: Qwen3MoeForCausalLM) -> None:
        self._routers: list[Any] = [layer.mlp.gate for layer in model.model.layers]
        self._choices: int = model.config.num_experts_per_tok
        for router in self._routers:
            router.register_forward_hook(_keep_logits)

    def balance_losses(self) -> torch.Tensor:
        """[layers]: of Switch transformers (arXiv 2101.03961, equation 4); 1.0 where the routing is even."""
        losses = []
        for router in self._routers:
            logits = router.logits
            experts = logits.shape[-1]
            share = _counts(logits, self._choices) / (len(logits) * self._choices)
            losses.append(experts * (share * logits.softmax(-1).mean(0)).sum())
        return torch.stack(losses)

    def counts(self) -> torch.Tensor:
        """[layers, experts]: how many tokens chose each expert in the last pass."""
        return torch.stack([_counts(router.logits, self._choices) for router in self._routers])


def _keep_logits(router: Any, _: object, output: tuple[torch.Tensor, ...]) -> None:
    router.logits = output[0]


def _counts(logits: torch.Tensor, choices: int) -> torch.Tensor:
    return torch.bincount(logits.topk(choices).indices.flatten(), minlength=logits.shape[-1])


def skews(counts: torch.Tensor) -> list[float]:
    """For each layer, how many times the mean its busiest expert is chosen."""
    found: list[float] = (counts.amax(-1) / counts.double().mean(-1)).tolist()
    return found
