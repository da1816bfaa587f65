"""Attention whose cache has keys and values of a few heads (grouped-query), with what families add to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from moe_worker.model.attention import Reading
from moe_worker.model.checkpoint import Checkpoint
from moe_worker.model.config import ModelConfig
from moe_worker.model.projection import AnyProjection, read_projection
from moe_worker.model.rotary import Rotation, rotate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projected:
    """`query` [rows, heads, width], scaled; `cached` [rows, heads of a cached row, its width]."""

    query: torch.Tensor
    cached: torch.Tensor


class Attention(Protocol):
    """What stands before and after the reading of the cache."""

    @property
    def reading(self) -> Reading:
        """How the cache is read."""

    def project(self, normed: torch.Tensor, rotation: Rotation) -> Projected:
        """Of normed [rows, hidden] and the rotation of the rows' positions."""

    def added(self, residual: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """The residual [rows, hidden] plus the projection of what was read, [rows, heads * value's width]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadAttention:
    """`qkv` [(heads + 2 * kv_heads) * head_dim, hidden], `out` [hidden, heads * head_dim].

    `head_norm` takes queries and keys [rows, heads + kv_heads, head_dim] before they are turned. Queries are multiplied
    by `scale`, where the norm does not do it.
    """

    qkv: AnyProjection
    out: AnyProjection
    heads: int
    head_dim: int
    reading: Reading
    scale: float = 1.0
    head_norm: Callable[[torch.Tensor], torch.Tensor] | None = None

    def project(self, normed: torch.Tensor, rotation: Rotation) -> Projected:
        turned = self.heads + self.reading.kv_heads
        qkv = self.qkv(normed).view(-1, turned + self.reading.kv_heads, self.head_dim)
        query, query_key = qkv[:, : self.heads], qkv[:, :turned]
        rotate(query_key if self.head_norm is None else self.head_norm(query_key), rotation, out=query_key)
        if self.scale != 1.0:
            query.mul_(self.scale)
        return Projected(query=query, cached=qkv[:, self.heads :])

    def added(self, residual: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        return self.out.added(residual, attended)


def read_projections(
    source: Checkpoint, at: str, config: ModelConfig, *, has_bias: bool = False, has_out_bias: bool = False
) -> tuple[AnyProjection, AnyProjection]:
    """`qkv` and `out` of the attention whose tensors begin with `at`."""
    c = config
    query, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
    outs = [("q_proj", query), ("k_proj", kv), ("v_proj", kv)]
    return (
        read_projection(source, at, outs, c.hidden, has_bias=has_bias),
        read_projection(source, at, [("o_proj", c.hidden)], query, has_bias=has_out_bias),
    )
