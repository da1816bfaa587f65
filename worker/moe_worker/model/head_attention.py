"""Attention whose cache has keys and values of a few heads (grouped-query), with what families add to it."""

from dataclasses import dataclass
from typing import Protocol

import torch

from moe_worker.kernels.attention import HeadNorms, Places, place_heads
from moe_worker.model.attention import Reading
from moe_worker.model.blocks import Norm
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

    @property
    def heads(self) -> int:
        """Of the queries."""

    def place(self, normed: torch.Tensor, rotation: Rotation, cache: torch.Tensor, places: Places) -> torch.Tensor:
        """By our kernels: puts keys and values of normed [rows, hidden] into the layer's cache and gives the queries,
        [rows, at least heads * width], scaled. `rotation` is that of all positions.
        """

    def project(self, normed: torch.Tensor, rotation: Rotation) -> Projected:
        """Of normed [rows, hidden] and the rotation of the rows' positions."""

    def added(self, residual: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """The residual [rows, hidden] plus the projection of what was read, [rows, heads * value's width]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadAttention:
    """`qkv` [(heads + 2 * kv_heads) * head_dim, hidden], `out` [hidden, heads * head_dim].

    `norms` take queries and keys before they are turned. Queries are multiplied by `scale`, where the norm does not do
    it.
    """

    qkv: AnyProjection
    out: AnyProjection
    heads: int
    head_dim: int
    reading: Reading
    scale: float = 1.0
    norms: HeadNorms | None = None

    def place(self, normed: torch.Tensor, rotation: Rotation, cache: torch.Tensor, places: Places) -> torch.Tensor:
        qkv = self.qkv(normed)
        place_heads(qkv, self.heads, self.norms, rotation.cos, rotation.sin, self.scale, cache, places)
        return qkv

    def project(self, normed: torch.Tensor, rotation: Rotation) -> Projected:
        turned = self.heads + self.reading.kv_heads
        qkv = self.qkv(normed).view(-1, turned + self.reading.kv_heads, self.head_dim)
        query, query_key = qkv[:, : self.heads], qkv[:, :turned]
        rotate(query_key if self.norms is None else _normed(query_key, self.norms), rotation, out=query_key)
        if self.scale != 1.0:
            query.mul_(self.scale)
        return Projected(query=query, cached=qkv[:, self.heads :])

    def added(self, residual: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        return self.out.added(residual, attended)


def _normed(query_key: torch.Tensor, norms: HeadNorms) -> torch.Tensor:
    """[rows, heads + kv_heads, dim] by torch; its floors are equal where heads are normed one by one."""
    if not norms.is_whole:
        return Norm(weight=norms.weight, floor=norms.query_floor)(query_key)
    flat, weight, width = query_key.flatten(1), norms.weight.flatten(), norms.query_width
    query = Norm(weight=weight[:width], floor=norms.query_floor)(flat[:, :width])
    key = Norm(weight=weight[width:], floor=norms.key_floor)(flat[:, width:])
    return torch.cat((query, key), -1).view(query_key.shape)


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
