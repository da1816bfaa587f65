"""Norm, and the rules that every function of tensors whose rows are tokens keeps to.

A row has the same bits whatever other rows are there; tests/moe_worker/model/test_rows.py holds what that rests
on: in fp32 a matrix product has at least MIN_ROWS rows (below, MKL takes kernels that sum in another order); every
elementwise step is one exactly rounded operation, or works on whole rows; sums run along rows.
"""

from dataclasses import dataclass

import torch

from moe_worker.kernels.routing import norm

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
        root = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().add_(self.floor).sqrt_()
        # One fresh tensor of x's size, not three: on a CPU new pages cost more than the arithmetic.
        return to_dtype((wide / root).mul_(self.weight), x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NativeNorm:
    """The same by our kernel, of x [rows, width]."""

    weight: torch.Tensor
    floor: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return norm(x, self.weight, self.floor)


AnyNorm = Norm | NativeNorm


def make_norm(weight: torch.Tensor, epsilon: float, *, is_native: bool = False) -> AnyNorm:
    """The norm of a weight [width]."""
    width = weight.shape[-1]
    kind = NativeNorm if is_native else Norm
    return kind(weight=weight.float() * width**0.5, floor=epsilon * width)
