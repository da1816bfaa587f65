"""Gated feed-forward networks: an expert, the expert that all tokens share, or a layer without experts."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own short name)

from moe_worker.kernels.product import Packed, feed_forward
from moe_worker.model.checkpoint import Checkpoint
from moe_worker.model.projection import (
    AnyProjection,
    NativeProjection,
    Projection,
    make_projection,
    read_projection,
)

GATE_UP_DOWN = ("gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clamp:
    """gpt-oss's gating: gate and up are held within `limit`, then gate * sigmoid(alpha * gate) * (up + 1)."""

    limit: float
    alpha: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeedForward:
    """down(silu(gate(x)) * up(x)), [rows, hidden] -> the same.

    `gate_up` [2 * ffn, hidden] (gate first), `down` [hidden, ffn]. With a `clamp` it is gpt-oss's variant.
    """

    gate_up: Projection
    down: Projection
    clamp: Clamp | None = None

    @property
    def min_rows(self) -> int:
        """How many rows it has to be given, so that a row has the same bits."""
        return max(self.gate_up.min_rows, self.down.min_rows)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        # Both stay views of the product: on a tensor that lies together, silu's bits depend on where a row lies.
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        if self.clamp is None:
            return self.down(F.silu(gate).mul_(up))
        gate.clamp_(max=self.clamp.limit).mul_(self.clamp.alpha)
        up.clamp_(-self.clamp.limit, self.clamp.limit).add_(1.0)
        return self.down(F.silu(gate) * up / self.clamp.alpha)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NativeFeedForward:
    """The same in one call of our kernels."""

    gate_up: Packed
    down: Packed
    clamp: Clamp | None = None

    @property
    def min_rows(self) -> int:
        return 1

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        limit, alpha = (self.clamp.limit, self.clamp.alpha) if self.clamp else (0.0, 1.0)
        return feed_forward(x, self.gate_up, self.down, limit, alpha)


AnyFeedForward = FeedForward | NativeFeedForward


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shared:
    """A feed-forward network for every token, times sigmoid(gate(x)).

    `gate` has a second row of zeros: a product of one column sums in another order than those of two and more, and the
    softmax over (g, 0) is the sigmoid of g.
    """

    gate: AnyProjection
    network: AnyFeedForward

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.gate(x), -1)[:, :1] * self.network(x)


def make_feed_forward(gate_up: AnyProjection, down: AnyProjection, clamp: Clamp | None = None) -> AnyFeedForward:
    """Of two projections of one kind."""
    if isinstance(gate_up, NativeProjection) and isinstance(down, NativeProjection):
        return NativeFeedForward(gate_up=gate_up.packed, down=down.packed, clamp=clamp)
    assert isinstance(gate_up, Projection), "two kinds of projections"
    assert isinstance(down, Projection), "two kinds of projections"
    return FeedForward(gate_up=gate_up, down=down, clamp=clamp)


def read_feed_forward(
    source: Checkpoint, at: str, hidden: int, ffn: int, names: tuple[str, str, str] = GATE_UP_DOWN
) -> AnyFeedForward:
    """The network whose three tensors begin with `at`; `names` are those of gate, up and down."""
    gate, up, down = names
    return make_feed_forward(
        read_projection(source, at, [(gate, ffn), (up, ffn)], hidden),
        read_projection(source, at, [(down, hidden)], ffn),
    )


def read_shared(source: Checkpoint, at: str, hidden: int, ffn: int) -> Shared:
    """Qwen2-MoE's shared expert of the layer whose tensors begin with `at`."""
    gate = source.tensor(f"{at}shared_expert_gate.weight", (1, hidden))
    return Shared(
        gate=make_projection(torch.cat((gate, torch.zeros_like(gate))), is_native=source.is_native),
        network=read_feed_forward(source, f"{at}shared_expert.", hidden, ffn),
    )
