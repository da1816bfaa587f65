"""Multi-head latent attention (DeepSeek-V2): a token's cached row is one compressed vector and one turned key.

The products that would make every head's keys and values of a row are applied to the queries and to what was read
instead ("absorbed"), so the cache stays compressed: kv_rank + rope_dim numbers a token and layer.
"""

from dataclasses import dataclass

import torch

from moe_worker.model.attention import Reading
from moe_worker.model.blocks import AnyNorm
from moe_worker.model.head_attention import Projected
from moe_worker.model.projection import AnyProjection
from moe_worker.model.rotary import Rotation, rotate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompressedQuery:
    """Queries by way of a narrower vector: up(norm(down(x)))."""

    down: AnyProjection
    norm: AnyNorm
    up: AnyProjection

    def __call__(self, normed: torch.Tensor) -> torch.Tensor:
        return self.up(self.norm(self.down(normed)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatentAttention:
    """`query` gives [rows, heads * (nope_dim + rope_dim)], `compress` [rows, kv_rank + rope_dim].

    `key_up` [heads, nope_dim, kv_rank] and `value_up` [heads, kv_rank, value_dim] are the two products of a latent.
    """

    query: AnyProjection | CompressedQuery
    compress: AnyProjection
    latent_norm: AnyNorm
    key_up: torch.Tensor
    value_up: torch.Tensor
    out: AnyProjection
    scale: float
    reading: Reading

    def project(self, normed: torch.Tensor, rotation: Rotation) -> Projected:
        heads, nope_dim, rank = self.key_up.shape
        plain = self.query(normed).view(len(normed), heads, -1)
        query = plain.new_empty((len(normed), heads, rank + plain.shape[-1] - nope_dim))
        query[..., :rank] = torch.bmm(plain[..., :nope_dim].transpose(0, 1), self.key_up).transpose(0, 1)
        rotate(plain[..., nope_dim:], rotation, out=query[..., rank:])
        compressed = self.compress(normed)
        compressed[:, :rank] = self.latent_norm(compressed[:, :rank])
        row = compressed.unsqueeze(1)
        rotate(row[..., rank:], rotation, out=row[..., rank:])
        return Projected(query=query.mul_(self.scale), cached=row)

    def added(self, residual: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        heads, rank, _ = self.value_up.shape
        latents = attended.view(len(attended), heads, rank).transpose(0, 1)
        return self.out.added(residual, torch.bmm(latents, self.value_up).transpose(0, 1).flatten(1))
