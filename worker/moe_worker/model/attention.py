"""Causal attention of a step's tokens over a lane's paged cache, equal in every bit for a token however it is batched.

Each score is one dot product of length D. Masked scores are -inf, so their weights are exact zeros. The weighted sum
over the values runs in key order in tiles of TILE keys (a matrix product sums that many in one run), so trailing zeros
change nothing.

Legend: S sequences, C tokens of each, G query heads per key-value head, K key-value heads, L keys (padded), D head_dim.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm

import torch

from moe_wire.messages import Segment
from moe_worker.model.blocks import MIN_ROWS, to_dtype
from moe_worker.model.kv import LaneCache

TILE = 128
QUERIES = 64  # tokens of a segment attended to at once: bounds the scores, and early ones skip late keys
KEYS_UNIT = 32  # below it torch leaves MKL for a kernel of its own


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """Segments of one count and about one length, attended to in one go.

    `rows` of the step [S * C] (None: all of them, in order); `blocks` [S * L / block_size]; `mask` [S, C, 1, L].
    """

    rows: torch.Tensor | None
    blocks: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True, slots=True)
class Piece:
    """`count` tokens of one sequence from position `start` on, which are the step's rows from `row` on."""

    sequence: int
    row: int
    start: int
    count: int


def plan_groups(cache: LaneCache, segments: Sequence[Segment]) -> list[Group]:
    """The groups of a step whose segments the cache already counts."""
    unit = lcm(KEYS_UNIT, cache.block_size)
    members: dict[tuple[int, int, int], list[Piece]] = {}
    pieces = cut(segments)
    for piece in pieces:
        # Whole pieces are large enough to go alone.
        alone = piece.row if piece.count == QUERIES else -1
        members.setdefault((piece.count, padded_keys(piece.start + piece.count, unit), alone), []).append(piece)
    is_whole = len(members) == 1
    return [_plan(cache, count, keys, found, is_whole) for (count, keys, _), found in members.items()]


def cut(segments: Sequence[Segment]) -> list[Piece]:
    """The segments in pieces of at most QUERIES tokens."""
    pieces, row = [], 0
    for segment in segments:
        for first in range(0, segment.count, QUERIES):
            count = min(QUERIES, segment.count - first)
            pieces.append(Piece(segment.sequence, row + first, segment.start + first, count))
        row += segment.count
    return pieces


def padded_keys(length: int, unit: int) -> int:
    """The least of unit * (1, 2, 3, 4, 6, 8, 12, 16, ...) that holds `length`: few sizes, at most half of it wasted."""
    size = 1
    while size * unit < length:
        size = 2 if size == 1 else size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size * unit


def attend(query: torch.Tensor, cache: LaneCache, layer: int, groups: Sequence[Group]) -> torch.Tensor:
    """query [rows, H, D] (already scaled) over the cache's layer (from 0) -> [rows, H * D]."""
    if len(groups) == 1 and groups[0].rows is None:
        return _attend_group(query, cache, layer, groups[0])
    rows, heads, dim = query.shape
    out = query.new_empty((rows, heads * dim))
    for group in groups:
        assert group.rows is not None
        out.index_copy_(0, group.rows, _attend_group(query.index_select(0, group.rows), cache, layer, group))
    return out


def _plan(cache: LaneCache, count: int, keys: int, pieces: Sequence[Piece], is_whole: bool) -> Group:
    device = cache.data.device
    rows = None
    if not is_whole:
        rows = torch.tensor([piece.row + i for piece in pieces for i in range(count)], device=device)
    blocks = [b for piece in pieces for b in cache.padded_blocks(piece.sequence, 0, keys // cache.block_size)]
    last = torch.tensor([[[[piece.start + i]] for i in range(count)] for piece in pieces], device=device)
    hidden = torch.arange(keys, device=device) > last
    mask = torch.zeros(hidden.shape, device=device).masked_fill_(hidden, float("-inf"))
    return Group(rows=rows, blocks=torch.tensor(blocks, device=device), mask=mask)


def _attend_group(query: torch.Tensor, cache: LaneCache, layer: int, group: Group) -> torch.Tensor:
    (num_sequences, count, _, num_keys), dim = group.mask.shape, query.shape[-1]
    pages = cache.read(layer, group.blocks)
    kv_heads = pages.shape[0] // 2
    per_kv, batch = query.shape[1] // kv_heads, kv_heads * num_sequences
    # [K, S, C, G, D]: the query heads that share keys are rows of one product, and too few of them are filled up.
    shared = query.view(num_sequences, count, kv_heads, per_kv, dim).permute(2, 0, 1, 3, 4)
    width = per_kv
    if count * per_kv < MIN_ROWS:
        width = MIN_ROWS
        shared = torch.constant_pad_nd(shared, (0, 0, 0, width - per_kv))
    keys, values = pages.view(2, batch, num_keys, dim).unbind()
    scores = torch.bmm(shared.reshape(batch, count * width, dim), keys.transpose(1, 2))
    masked = scores.view(kv_heads, num_sequences, count, width, num_keys) + group.mask
    weights = to_dtype(torch.softmax(masked, -1), query.dtype).view(batch, count * width, num_keys)
    mixed = _mix(weights, values).view(kv_heads, num_sequences, count, width, dim)
    if width > per_kv:
        mixed = mixed[..., :per_kv, :]
    return mixed.permute(1, 2, 0, 3, 4).reshape(num_sequences * count, -1)


def _mix(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """weights [batch, rows, L] @ values [batch, L, D], summed in tiles of keys."""
    num_keys = values.shape[1]
    if num_keys <= TILE:
        return torch.bmm(weights, values)
    mixed = torch.bmm(weights[:, :, :TILE], values[:, :TILE])
    for start in range(TILE, num_keys, TILE):
        mixed = mixed + torch.bmm(weights[:, :, start : start + TILE], values[:, start : start + TILE])
    return mixed
