"""Products with packed weights, and the feed-forward networks made of them."""

from dataclasses import dataclass

import torch

from moe_worker.kernels.library import ADDRESS, FLOAT, NUMBER, Kernel, kernels
from moe_worker.kernels.memory import read_often

PANEL = 16
"""Outputs that lie together in a packed weight."""
PACK = kernels("moe_pack", ADDRESS, ADDRESS, NUMBER, NUMBER)
PROJECT = kernels("moe_project", ADDRESS, NUMBER, *(ADDRESS,) * 3, NUMBER, ADDRESS, *(NUMBER,) * 3)
FEED_FORWARD = kernels("moe_feed_forward", ADDRESS, NUMBER, *(ADDRESS,) * 4, FLOAT, FLOAT, ADDRESS, *(NUMBER,) * 3)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """A weight [outs, width] as the kernels read it, and its bias [outs] in fp32 (its address 0: none)."""

    numbers: torch.Tensor
    bias: torch.Tensor | None
    outs: int
    width: int
    project: Kernel
    address: int
    bias_address: int

    def product(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """x [rows, width], whose rows may lie apart, times the weight -> [rows, outs], plus the residual's rows."""
        rows = x.shape[0]
        out = x.new_empty((rows, self.outs))
        added, step = (0, 0) if residual is None else (residual.data_ptr(), residual.stride(0))
        self.project(
            x.data_ptr(),
            x.stride(0),
            self.address,
            self.bias_address,
            added,
            step,
            out.data_ptr(),
            rows,
            self.width,
            self.outs,
        )
        return out


def pack(weight: torch.Tensor, bias: torch.Tensor | None = None) -> Packed:
    """Of a weight [outs, width] of a type that has kernels."""
    outs, width = weight.shape
    numbers = read_often(-(-outs // PANEL) * PANEL * width, weight.dtype)
    PACK[weight.dtype](weight.contiguous().data_ptr(), numbers.data_ptr(), outs, width)
    wide = None if bias is None else bias.float().contiguous()
    return Packed(
        numbers=numbers,
        bias=wide,
        outs=outs,
        width=width,
        project=PROJECT[weight.dtype],
        address=numbers.data_ptr(),
        bias_address=0 if wide is None else wide.data_ptr(),
    )


def feed_forward(x: torch.Tensor, gate_up: Packed, down: Packed, limit: float, alpha: float) -> torch.Tensor:
    """down(silu(gate) * up) of x [rows, hidden], where gate_up gives the gates, then the ups; with `limit` above 0
    gpt-oss's gating.
    """
    rows, hidden = x.shape
    out = x.new_empty((rows, hidden))
    FEED_FORWARD[x.dtype](
        x.data_ptr(),
        x.stride(0),
        gate_up.address,
        gate_up.bias_address,
        down.address,
        down.bias_address,
        limit,
        alpha,
        out.data_ptr(),
        rows,
        hidden,
        down.width,
    )
    return out
