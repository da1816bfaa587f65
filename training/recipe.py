"""How the model is trained: every number that decides its weights, beside the text and the machine's arithmetic."""

from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What step sees which text at which rate: a function of the seed and the step's number alone."""

    steps: int = 3300
    seed: int = 0
    tokens_per_step: int = 1536
    window: int = 128
    long_window: int = 512
    """Window of the last steps, those of the decay."""
    rate: float = 3e-3
    warmup_steps: int = 150
    decay: float = 0.2
    """Share of the steps over which the rate falls to nothing. Until then a run may still be lengthened."""
    weight_decay: float = 0.1
    clip: float = 1.0
    balance: float = 4e-3
    """Weight of the balance loss: enough that no expert dies, too little to flatten the routing."""
    uneven_from: int = 2200
    """From this step on every layer's balance loss is drawn to `uneven`: where experts live, it need not be even."""
    uneven: float = 1.23
    """That of a layer whose busiest expert is chosen two to five times as often as the mean; 1.0 is even."""

    @property
    def decay_begins(self) -> int:
        """The first step of the decay."""
        return round(self.steps * (1 - self.decay))

    def rate_at(self, step: int) -> float:
        """Learning rate: a linear warm-up, a plateau, a linear decay."""
        left = (self.steps - step) / (self.steps - self.decay_begins)
        return self.rate * min((step + 1) / self.warmup_steps, left, 1.0)

    def target_at(self, step: int) -> float:
        """What every layer's balance loss is drawn to: nothing at first, so that the experts live, `uneven` later."""
        return 0.0 if step < self.uneven_from else self.uneven

    def batch(self, tokens: torch.Tensor, step: int) -> torch.Tensor:
        """[windows, window + 1]: runs of `tokens` from places drawn for this step."""
        window = self.window if step < self.decay_begins else self.long_window
        drawn = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        begins = torch.randint(len(tokens) - window, (self.tokens_per_step // window,), generator=drawn)
        return tokens[begins[:, None] + torch.arange(window + 1)]

    def goes_on_from(self, other: "Recipe", step: int) -> bool:
        """Whether this one would have come to `step` with the other's weights: their ends may differ."""
        if replace(other, steps=self.steps) != self:
            return False
        return other == self or step <= min(self.decay_begins, other.decay_begins)
