"""Projections: matrix products with a checkpoint's weights. Native ones pack them once, so that a product reads memory
from end to end; torch's have fp32 arithmetic where the CPU has no kernels for a narrower type.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own short name)

from moe_worker.kernels.product import Packed, pack
from moe_worker.model.blocks import MIN_ROWS
from moe_worker.model.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """x [rows >= min_rows, in] -> [rows, out]: `weight` [out, in], `bias` [out]."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None

    @property
    def min_rows(self) -> int:
        """From how many rows on a row has the same bits."""
        return MIN_ROWS

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight, self.bias)

    def added(self, residual: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """residual [rows, out] plus the projection of x."""
        return self(x).add_(residual)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WidenedProjection(Projection):
    """The same with a narrow weight, widened at each call: with one row reading it twice costs as much again, with four
    and more it is faster, with many eight times, than what torch does where the CPU has no arithmetic for the type.
    """

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        bias = None if self.bias is None else self.bias.float()
        return F.linear(x.float(), self.weight.float(), bias).to(self.weight.dtype)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NativeProjection:
    """The same by our kernel, with any number of rows."""

    packed: Packed

    @property
    def min_rows(self) -> int:
        return 1

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.packed.product(x)

    def added(self, residual: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self.packed.product(x, residual)


AnyProjection = Projection | NativeProjection


def make_projection(
    weight: torch.Tensor, bias: torch.Tensor | None = None, *, is_native: bool = False
) -> AnyProjection:
    """Of a weight [out, in], which the caller need not keep."""
    if is_native:
        return NativeProjection(packed=pack(weight, bias))
    if is_widened(weight):
        return WidenedProjection(weight=weight, bias=bias)
    return Projection(weight=weight, bias=bias)


def read_projection(
    source: Checkpoint, at: str, outs: Sequence[tuple[str, int]], width: int, *, has_bias: bool = False
) -> AnyProjection:
    """One projection of several tensors of the checkpoint, (name, rows) each: they see the same x [rows, width]."""
    weight = torch.cat([source.tensor(f"{at}{name}.weight", (out, width)) for name, out in outs])
    bias = torch.cat([source.tensor(f"{at}{name}.bias", (out,)) for name, out in outs]) if has_bias else None
    return make_projection(weight, bias, is_native=source.is_native)


def is_widened(x: torch.Tensor) -> bool:
    """Whether torch's products of x are computed in fp32: of a narrow type, on a CPU. Where the CPU has arithmetic for
    it (AVX-512 BF16, AMX), a row's bits depend on how many are beside it.
    """
    return x.device.type == "cpu" and x.dtype is not torch.float32
