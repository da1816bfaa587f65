"""Projections: matrix products with a checkpoint's weights, packed where that is faster and gives a row the same bits,
and in fp32 where the CPU has no kernels for a narrower type.

A packed weight lies as oneDNN's kernels read it. Whether they sum a row's products in one order at every number of rows
is no promise of oneDNN's, so it is tried out, shape by shape; every rank on one kind of CPU comes to the same choice.
For each shape and number of rows oneDNN makes kernels (some ms) and keeps them (2/3 MB): few numbers of rows are used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own short name)

from moe_worker.device.huge_pages import use_huge_pages
from moe_worker.model.blocks import MIN_ROWS
from moe_worker.model.checkpoint import Checkpoint

# Numbers in a weight: below, oneDNN's calls cost more than they save; above, reading memory is all there is to save.
FEWEST, MOST = 1 << 18, 1 << 26
TRIED_ROWS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 32, 48)
MOST_TRIED_ROWS = 64


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
class PackedProjection(Projection):
    """The same with a weight that `pack` made."""

    @property
    def min_rows(self) -> int:
        return 1

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.shape[0]
        more = kernel_rows(rows) - rows
        if more:
            return product(F.pad(x, (0, 0, 0, more)), self.weight, self.bias)[:rows]
        return product(x, self.weight, self.bias)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WidenedProjection(Projection):
    """The same with a narrow weight, widened at each call: with one row reading it twice costs as much again, with four
    and more it is faster, with many eight times, than what torch does where the CPU has no kernels for the type.
    """

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        bias = None if self.bias is None else self.bias.float()
        return F.linear(x.float(), self.weight.float(), bias).to(self.weight.dtype)


def make_projection(weight: torch.Tensor, bias: torch.Tensor | None = None) -> Projection:
    """Of a weight [out, in], which the caller need not keep."""
    out, width = weight.shape
    if weight.device.type == "cpu" and FEWEST <= weight.numel() <= MOST and keeps_bits(out, width, weight.dtype):
        packed = pack(weight)
        # A decode step only reads weights, each once, and so meets a new page every 4 KiB.
        use_huge_pages(torch.ops.mkldnn.data_ptr(packed), weight.nbytes)
        return PackedProjection(weight=packed, bias=bias)
    if is_widened(weight):
        return WidenedProjection(weight=weight, bias=bias)
    return Projection(weight=weight, bias=bias)


def read_projection(
    source: Checkpoint, at: str, outs: Sequence[tuple[str, int]], width: int, *, has_bias: bool = False
) -> Projection:
    """One projection of several tensors of the checkpoint, (name, rows) each: they see the same x [rows, width]."""
    weight = torch.cat([source.tensor(f"{at}{name}.weight", (out, width)) for name, out in outs])
    if not has_bias:
        return make_projection(weight)
    return make_projection(weight, torch.cat([source.tensor(f"{at}{name}.bias", (out,)) for name, out in outs]))


@cache
def keeps_bits(out: int, width: int, dtype: torch.dtype) -> bool:
    """Whether a packed weight of that shape gives a row the same bits whatever rows are beside it, on this CPU."""
    if not is_packable(dtype):
        return False
    numbers = torch.Generator().manual_seed(out * width)
    weight = pack(torch.randn(out, width, generator=numbers).to(dtype))
    x = torch.randn(MOST_TRIED_ROWS, width, generator=numbers).to(dtype)
    whole = product(x, weight, None)
    return all(
        torch.equal(product(x[first : first + rows].clone(), weight, None), whole[first : first + rows])
        for rows in TRIED_ROWS
        for first in (0, MOST_TRIED_ROWS - rows)
    )


def kernel_rows(rows: int) -> int:
    """The number of rows with which so many are multiplied: up to 8 the same, up to 32 a multiple of 4, then at most
    a quarter more.
    """
    step = 1 if rows <= 8 else max(4, 1 << ((rows - 1).bit_length() - 3))
    return -(-rows // step) * step


def is_packable(dtype: torch.dtype) -> bool:
    """Whether this CPU and this torch have packed kernels for the number type."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # torch types it not
        return False
    return dtype is torch.float32 or (dtype is torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def pack(weight: torch.Tensor) -> torch.Tensor:
    """The weight [out, in] in oneDNN's own layout."""
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, None)
    return packed


def product(x: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x [rows, in] times a packed weight."""
    result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return result


def is_widened(x: torch.Tensor) -> bool:
    """Whether products of x are computed in fp32: of a narrow type, on a CPU that has no kernels of its own for it."""
    return x.device.type == "cpu" and x.dtype is not torch.float32 and not is_packable(x.dtype)
