"""Projection and norm, as functions of tensors whose rows are tokens.

A row has the same bits whatever other rows are there; tests/moe_worker/model/test_rows.py holds what that rests
on: in fp32 a matrix product has at least MIN_ROWS rows (below, MKL takes kernels that sum in another order); every
elementwise step is one exactly rounded operation, or works on whole rows; sums run along rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own short name)

from moe_worker.model.checkpoint import Checkpoint

MIN_ROWS = 4


def to_dtype(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """x.to(dtype), without a call where there is nothing to do: at small sizes the calls are the cost."""
    return x if x.dtype is dtype else x.to(dtype)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """x [rows >= MIN_ROWS, in] -> [rows, out]: `weight` [out, in], `bias` [out]."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight, self.bias)

    def added(self, residual: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """residual [rows, out] plus the projection of x."""
        if self.bias is None:
            return torch.addmm(residual, x, self.weight.t())
        return residual + self(x)


def read_projection(
    source: Checkpoint, at: str, outs: Sequence[tuple[str, int]], width: int, *, has_bias: bool = False
) -> Projection:
    """One projection of several tensors of the checkpoint, (name, rows) each: they see the same x [rows, width]."""
    weight = torch.cat([source.tensor(f"{at}{name}.weight", (out, width)) for name, out in outs])
    if not has_bias:
        return Projection(weight=weight)
    return Projection(weight=weight, bias=torch.cat([source.tensor(f"{at}{name}.bias", (out,)) for name, out in outs]))


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
