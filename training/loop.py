"""The training loop: AdamW over a recipe's steps, saved now and then, resumed as if it had never been broken off."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import Qwen3MoeForCausalLM

from training.recipe import Recipe
from training.routing import RoutingWatch

SAVE_EVERY = 200
"""Steps: about a minute of an idle core."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a step tells: its number from 0, and how it went."""

    number: int
    loss: float
    balance: float
    tokens_per_second: float


class Training:
    """A model on its way; `folder` holds what a later run resumes from."""

    def __init__(self, model: Qwen3MoeForCausalLM, watch: RoutingWatch, recipe: Recipe, folder: Path) -> None:
        self.model = model
        self.recipe = recipe
        self.step = 0
        self._saved = folder / "resume.pt"
        self._watch = watch
        self._optimizer = torch.optim.AdamW(_groups(model, recipe), betas=(0.9, 0.95), fused=True)

    def resume(self) -> None:
        """Go on from what was saved, where this recipe would have come by it too."""
        if not self._saved.is_file():
            return
        saved: dict[str, Any] = torch.load(self._saved, weights_only=True)
        if self.recipe.goes_on_from(Recipe(**saved["recipe"]), saved["step"]):
            self.model.load_state_dict(saved["model"])
            self._optimizer.load_state_dict(saved["optimizer"])
            self.step = saved["step"]

    def save(self) -> None:
        """Whole or not at all."""
        written = self._saved.with_suffix(".new")
        state = {"model": self.model.state_dict(), "optimizer": self._optimizer.state_dict()}
        torch.save({"recipe": asdict(self.recipe), "step": self.step, **state}, written)
        written.rename(self._saved)

    def run(self, tokens: torch.Tensor, *, tell: Callable[[Step], None], save_every: int = SAVE_EVERY) -> None:
        """All steps that are left."""
        self.model.train()
        while self.step < self.recipe.steps:
            tell(self._train(self.recipe.batch(tokens, self.step)))
            self.step += 1
            if self.step % save_every == 0 or self.step == self.recipe.steps:
                self.save()

    def _train(self, batch: torch.Tensor) -> Step:
        began = time.perf_counter()
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.rate_at(self.step)
        logits = self.model(input_ids=batch[:, :-1], use_cache=False).logits
        loss = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        balance = self._watch.balance_losses()
        unlike = (balance - self.recipe.target_at(self.step)).abs().mean()
        torch.autograd.backward(loss + self.recipe.balance * unlike)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self._optimizer.step()
        self._optimizer.zero_grad()
        speed = batch[:, 1:].numel() / (time.perf_counter() - began)
        return Step(number=self.step, loss=loss.item(), balance=balance.mean().item(), tokens_per_second=speed)


def _groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Matrices decay; norms do not."""
    parameters = list(model.parameters())
    return [
        {"params": [one for one in parameters if one.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [one for one in parameters if one.dim() == 1], "weight_decay": 0.0},
    ]
