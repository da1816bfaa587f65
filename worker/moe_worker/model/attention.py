"""Causal attention of a step's tokens over a lane's paged cache, equal in every bit for a token however it is batched.

Each score is one dot product of length D. Masked scores are -inf, so their weights are exact zeros. The weighted sum over the
values runs in key order in tiles of TILE keys (a matrix product sums up to that many in one run), so trailing zeros change nothing.

Legend: S sequences, C tokens of each, G query heads per key-value head, K key-value heads, L keys (padded), D head_dim.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own short name)

from moe_wire.messages import Segment
from moe_worker.model.blocks import MIN_ROWS
from moe_worker.model.kv import LaneCache

TILE = 128
KEYS_UNIT = 32  # below it torch leaves MKL for a kernel of its own


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """Segments of one count and about one length, attended to in one go.

    `rows` of the step [S * C] (None: all of them, in order); `blocks` [S * L / block_size]; `mask` [S, C, 1, L] of 0 and -inf.
    """

    rows: torch.Tensor | None
    blocks: torch.Tensor
    mask: torch.Tensor


def plan_groups(cache: LaneCache, segments: Sequence[Segment]) -> list[Group]:
    """The groups of a step whose segments the cache already counts."""
    members: dict[tuple[int, int], list[tuple[int, Segment]]] = {}
    row = 0
    for segment in segments:
        keys = padded_keys(segment.start + segment.count, lcm(KEYS_UNIT, cache.block_size))
        members.setdefault((segment.count, keys), []).append((row, segment))
        row += segment.count
    return [_plan(cache, count, keys, found, row) for (count, keys), found in members.items()]


def padded_keys(length: int, unit: int) -> int:
    """The least of unit * (1, 2, 3, 4, 6, 8, 12, 16, ...) that holds `length`: few sizes, at most half of it wasted."""
    size = 1
    while size * unit < length:
        size = 2 if size == 1 else size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size * unit


def attend(query: torch.Tensor, layer_cache: torch.Tensor, block_size: int, groups: Sequence[Group]) -> torch.Tensor:
    """query [rows, H, D] (already scaled) over layer_cache [2 * K, slots, D] -> [rows, H * D]."""
    rows, heads, dim = query.shape
    if len(groups) == 1 and groups[0].rows is None:
        return _attend_group(query, layer_cache, block_size, groups[0])
    out = query.new_empty((rows, heads * dim))
    for group in groups:
        assert group.rows is not None
        out.index_copy_(0, group.rows, _attend_group(query.index_select(0, group.rows), layer_cache, block_size, group))
    return out


def _plan(cache: LaneCache, count: int, keys: int, found: Sequence[tuple[int, Segment]], num_rows: int) -> Group:
    device = cache.data.device
    rows = None
    if len(found) * count < num_rows:
        rows = torch.tensor([first + i for first, _ in found for i in range(count)], device=device)
    blocks = [b for _, segment in found for b in cache.padded_blocks(segment.sequence, keys // cache.block_size)]
    last = torch.tensor([[[[segment.start + i]] for i in range(count)] for _, segment in found], device=device)
    hidden = torch.arange(keys, device=device) > last
    mask = torch.zeros(hidden.shape, device=device).masked_fill_(hidden, float("-inf"))
    return Group(rows=rows, blocks=torch.tensor(blocks, device=device), mask=mask)


def _attend_group(query: torch.Tensor, layer_cache: torch.Tensor, block_size: int, group: Group) -> torch.Tensor:
    (num_sequences, count, _, num_keys), dim = group.mask.shape, query.shape[-1]
    kv_heads = layer_cache.shape[0] // 2
    per_kv = query.shape[1] // kv_heads
    batch = kv_heads * num_sequences
    # [K, S, C, G, D]: the query heads that share keys are rows of one product.
    shared = query.view(num_sequences, count, kv_heads, per_kv, dim).permute(2, 0, 1, 3, 4)
    width = per_kv if count * per_kv >= MIN_ROWS else MIN_ROWS
    if width > per_kv:
        shared = F.pad(shared, (0, 0, 0, width - per_kv))
    pages = layer_cache.view(2 * kv_heads, -1, block_size * dim).index_select(1, group.blocks)
    keys, values = pages.view(2, batch, num_keys, dim).unbind()
    scores = torch.bmm(shared.reshape(batch, count * width, dim), keys.transpose(1, 2))
    masked = scores.view(kv_heads, num_sequences, count, width, num_keys) + group.mask
    weights = torch.softmax(masked, -1).to(query.dtype).view(batch, count * width, num_keys)
    mixed = _mix(weights, values).view(kv_heads, num_sequences, count, width, dim)
    return mixed[..., :per_kv, :].permute(1, 2, 0, 3, 4).reshape(num_sequences * count, -1)


def _mix(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """weights [batch, rows, L] @ values [batch, L, D], summed in tiles of keys."""
    mixed = torch.bmm(weights[:, :, :TILE], values[:, :TILE])
    for start in range(TILE, values.shape[1], TILE):
        mixed = mixed + torch.bmm(weights[:, :, start : start + TILE], values[:, start : start + TILE])
    return mixed
