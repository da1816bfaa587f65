"""What the model makes of text that it never saw: its loss, and which experts that text chooses."""

from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy
from transformers import Qwen3MoeForCausalLM

from training.routing import RoutingWatch, skews

WINDOW = 256
WINDOWS_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Over the whole of the held-out text, in windows that do not overlap."""

    loss: float
    """Nats a token."""
    tokens: int
    counts: list[list[int]]
    """By layer and expert: how often it was chosen."""

    @property
    def skews(self) -> list[float]:
        """For each layer, how many times the mean its busiest expert is chosen."""
        return skews(torch.tensor(self.counts))


@torch.no_grad()
def measure(model: Qwen3MoeForCausalLM, watch: RoutingWatch, tokens: torch.Tensor) -> HeldOut:
    """The last, incomplete window is left out."""
    model.train(False)
    length = (len(tokens) - 1) // WINDOW * WINDOW
    inputs, targets = tokens[:length].view(-1, WINDOW), tokens[1 : length + 1].view(-1, WINDOW)
    losses, counts = [], []
    for part in zip(torch.split(inputs, WINDOWS_AT_ONCE), torch.split(targets, WINDOWS_AT_ONCE), strict=True):
        logits = model(input_ids=part[0], use_cache=False).logits
        losses.append(cross_entropy(logits.flatten(0, 1), part[1].flatten(), reduction="sum").item())
        counts.append(watch.counts())
    return HeldOut(loss=sum(losses) / length, tokens=length, counts=torch.stack(counts).sum(0).tolist())
