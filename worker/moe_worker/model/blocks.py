"""The pieces that decoders are made of, as functions of tensors whose rows are tokens.

A row's result has the same bits whatever other rows are there. What that rests on is proved in tests/moe_worker/model/test_rows.py:
in fp32 a matrix product has at least MIN_ROWS rows (below, MKL takes kernels that sum in another order); every elementwise step
is one exactly rounded operation, or works on whole rows; sums run along rows.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own short name)

MIN_ROWS = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Norm:
    """RMS norm along the last dim: weight * x / sqrt(mean(x^2) + epsilon). torch's own takes twice the time on a CPU.

    Both sides of the root are multiplied by the width, which saves the division: `weight` is the norm's times sqrt(width),
    `floor` is epsilon * width.
    """

    weight: torch.Tensor
    floor: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        inverse = torch.rsqrt((wide * wide).sum(-1, keepdim=True) + self.floor)
        return (wide * inverse * self.weight).to(x.dtype)


def make_norm(weight: torch.Tensor, epsilon: float, *, scale: float = 1.0) -> Norm:
    """The norm of a weight [..., width]; its output is multiplied by `scale`."""
    width = weight.shape[-1]
    return Norm(weight=weight.float() * (width**0.5 * scale), floor=epsilon * width)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Expert:
    """One expert's weights: `gate_up` [2 * ffn, hidden] (gate first), `down` [hidden, ffn]."""

    gate_up: torch.Tensor
    down: torch.Tensor


def run_expert(expert: Expert, x: torch.Tensor) -> torch.Tensor:
    """SwiGLU: down(silu(gate(x)) * up(x)), [rows >= MIN_ROWS, hidden] -> the same."""
    gate, up = F.linear(x, expert.gate_up).chunk(2, dim=-1)
    return F.linear(F.silu(gate) * up, expert.down)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Routing:
    """`experts` [row][choice], the likeliest first, numbered in the layer; `weights` [rows, choices]."""

    experts: list[list[int]]
    weights: torch.Tensor


def route(logits: torch.Tensor, experts_per_token: int, *, normalise: bool) -> Routing:
    """The top-k router on logits [rows, experts]. Softmax over the chosen equals softmax over all, renormalised."""
    if normalise:
        values, chosen = torch.topk(logits.float(), experts_per_token, dim=-1)
        weights = torch.softmax(values, dim=-1)
    else:
        weights, chosen = torch.topk(torch.softmax(logits.float(), dim=-1), experts_per_token, dim=-1)
    return Routing(experts=chosen.tolist(), weights=weights.to(logits.dtype))


def rotary_table(positions: int, head_dim: int, theta: float, device: torch.device) -> torch.Tensor:
    """[positions, 2, head_dim]: the cosines, and the sines signed for `rotate`."""
    inverse = 1.0 / (theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim))
    angles = torch.arange(positions, dtype=torch.float32)[:, None] * inverse
    cos, sin = angles.cos(), angles.sin()
    return torch.stack((torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)), 1).to(device)


def rotate(x: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of heads x [rows, heads, head_dim] by rows of a rotary table [rows, 2, head_dim]."""
    half = x.shape[-1] // 2
    return x * rotation[:, None, 0] + x.roll(half, -1) * rotation[:, None, 1]
