"""Multi-head latent attention (DeepSeek-V2): a token's cached row is one compressed vector and one turned key.

The products that would make every head's keys and values of a row are applied to the queries and to what was read
instead ("absorbed"), so the cache stays compressed: kv_rank + rope_dim numbers a token and layer.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own short name)

from moe_worker.kernels.attention import Places
from moe_worker.model.attention import Reading
from moe_worker.model.blocks import MIN_ROWS, AnyNorm
from moe_worker.model.head_attention import Projected
from moe_worker.model.indices import index_tensor
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

    @property
    def heads(self) -> int:
        return self.key_up.shape[0]

    def place(self, normed: torch.Tensor, rotation: Rotation, cache: torch.Tensor, places: Places) -> torch.Tensor:
        projected = self.project(normed, rotation.at(index_tensor(places.positions, normed.device)))
        cache.index_copy_(1, index_tensor(places.slots, normed.device), projected.cached.transpose(0, 1))
        return projected.query.flatten(1)

    def project(self, normed: torch.Tensor, rotation: Rotation) -> Projected:
        heads, nope_dim, rank = self.key_up.shape
        plain = self.query(normed).view(len(normed), heads, -1)
        query = plain.new_empty((len(normed), heads, rank + plain.shape[-1] - nope_dim))
        query[..., :rank] = _by_head(plain[..., :nope_dim], self.key_up)
        rotate(plain[..., nope_dim:], rotation, out=query[..., rank:])
        compressed = self.compress(normed)
        compressed[:, :rank] = self.latent_norm(compressed[:, :rank])
        row = compressed.unsqueeze(1)
        rotate(row[..., rank:], rotation, out=row[..., rank:])
        return Projected(query=query.mul_(self.scale), cached=row)

    def added(self, residual: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        heads, rank, _ = self.value_up.shape
        latents = attended.view(len(attended), heads, rank)
        return self.out.added(residual, _by_head(latents, self.value_up).flatten(1))


def _by_head(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x [rows, heads, in] times weight [heads, in, out] -> [rows, heads, out], with rows enough for their bits."""
    rows = x.shape[0]
    padded = F.pad(x, (0, 0, 0, 0, 0, MIN_ROWS - rows)) if rows < MIN_ROWS else x
    return torch.bmm(padded.transpose(0, 1), weight).transpose(0, 1)[:rows]
