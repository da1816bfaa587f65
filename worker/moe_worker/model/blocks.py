"""The pieces that decoders are made of, as functions of tensors whose rows are tokens.

A row has the same bits whatever other rows are there; tests/moe_worker/model/test_rows.py holds what that rests
on: in fp32 a matrix product has at least MIN_ROWS rows (below, MKL takes kernels that sum in another order); every
elementwise step is one exactly rounded operation, or works on whole rows; sums run along rows.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own short name)

MIN_ROWS = 4


def to_dtype(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """x.to(dtype), without a call where there is nothing to do: at small sizes the calls are the cost."""
    return x if x.dtype is dtype else x.to(dtype)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Norm:
    """RMS norm along the last dim: weight * x / sqrt(mean(x^2) + epsilon). torch's own takes twice the time on a CPU.

    Both sides of the root are multiplied by the width, which saves the division: `weight` is the norm's times
    sqrt(width), `floor` is epsilon * width.
    """

    weight: torch.Tensor
    floor: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        wide = to_dtype(x, torch.float32)
        inverse = torch.rsqrt((wide * wide).sum(-1, keepdim=True) + self.floor)
        return to_dtype(wide * inverse * self.weight, x.dtype)


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
        values, chosen = torch.topk(logits, experts_per_token, dim=-1)
        weights = torch.softmax(to_dtype(values, torch.float32), dim=-1)
    else:
        weights, chosen = torch.topk(torch.softmax(logits, dim=-1, dtype=torch.float32), experts_per_token, dim=-1)
    return Routing(experts=chosen.tolist(), weights=to_dtype(weights, logits.dtype))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rotation:
    """Cosines and sines of positions, each [positions, 1, head_dim]; the sines are signed for `rotate`."""

    cos: torch.Tensor
    sin: torch.Tensor

    def at(self, positions: torch.Tensor) -> "Rotation":
        """Those of the given positions."""
        return Rotation(cos=self.cos.index_select(0, positions), sin=self.sin.index_select(0, positions))


def make_rotation(positions: int, head_dim: int, theta: float, like: torch.Tensor) -> Rotation:
    """The rotary embedding of positions 0 .. positions - 1 with base theta."""
    inverse = 1.0 / (theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim))
    angles = torch.arange(positions, dtype=torch.float32)[:, None, None] * inverse
    cos, sin = angles.cos(), angles.sin()
    return Rotation(cos=torch.cat((cos, cos), -1).to(like), sin=torch.cat((-sin, sin), -1).to(like))


def rotate(x: torch.Tensor, rotation: Rotation, out: torch.Tensor) -> None:
    """Rotary embedding of heads x [rows, heads, head_dim], one rotation a row, into `out`."""
    torch.add(x * rotation.cos, x.roll(x.shape[-1] // 2, -1) * rotation.sin, out=out)
