"""Causal attention of a step's tokens over a lane's paged cache, equal in every bit for a token however it is batched.

Each score is one dot product of length D. Masked scores are -inf, so their weights are exact zeros. The weighted sum
over the values runs in key order in tiles of TILE keys (a matrix product sums that many in one run), so leading and
trailing zeros change nothing; keys that a window hides are left out by whole tiles.

Legend: S sequences, C tokens of each, G query heads per key-value head, K key-value heads, L keys (padded), D width of
a query and a key, V of a value.
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
class Reading:
    """How a layer reads what its tokens have in the cache: keys' heads, then values' heads.

    `latent` above 0: there is one head only, the key, and its first `latent` numbers are the value. `window` above 0:
    a token sees as many tokens, itself included. `sinks` [heads]: logits of a key that every token sees and whose value
    is zero.
    """

    kv_heads: int
    latent: int = 0
    window: int = 0
    sinks: torch.Tensor | None = None


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


def plan_groups(cache: LaneCache, segments: Sequence[Segment], window: int) -> list[Group]:
    """The groups of a step whose segments the cache already counts, for layers of that window (0: none)."""
    unit = lcm(KEYS_UNIT, cache.block_size)
    members: dict[tuple[int, int, int], list[Piece]] = {}
    for piece in cut(segments):
        # Whole pieces are large enough to go alone.
        alone = piece.row if piece.count == QUERIES else -1
        keys = padded_keys(piece.start + piece.count - first_key(cache, piece, window), unit)
        members.setdefault((piece.count, keys, alone), []).append(piece)
    is_whole = len(members) == 1
    return [_plan(cache, window, count, keys, found, is_whole) for (count, keys, _), found in members.items()]


def cut(segments: Sequence[Segment]) -> list[Piece]:
    """The segments in pieces of at most QUERIES tokens."""
    pieces, row = [], 0
    for segment in segments:
        for first in range(0, segment.count, QUERIES):
            count = min(QUERIES, segment.count - first)
            pieces.append(Piece(segment.sequence, row + first, segment.start + first, count))
        row += segment.count
    return pieces


def first_key(cache: LaneCache, piece: Piece, window: int) -> int:
    """The first key that is looked at: the beginning of a tile and of a block."""
    unit = lcm(TILE, cache.block_size)
    return max(piece.start - window + 1, 0) // unit * unit if window else 0


def padded_keys(length: int, unit: int) -> int:
    """The least of unit * (1, 2, 3, 4, 6, 8, 12, 16, ...) that holds `length`: few sizes, at most half of it wasted."""
    size = 1
    while size * unit < length:
        size = 2 if size == 1 else size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size * unit


def attend(
    query: torch.Tensor, cache: LaneCache, layer: int, groups: Sequence[Group], reading: Reading
) -> torch.Tensor:
    """query [rows, heads, D] (already scaled) over the cache's layer (from 0) -> [rows, heads * V]."""
    if len(groups) == 1 and groups[0].rows is None:
        return _attend_group(query, cache, layer, groups[0], reading)
    out: torch.Tensor | None = None
    for group in groups:
        assert group.rows is not None
        part = _attend_group(query.index_select(0, group.rows), cache, layer, group, reading)
        out = part.new_empty((len(query), part.shape[1])) if out is None else out
        out.index_copy_(0, group.rows, part)
    assert out is not None, "a step has segments"
    return out


def _plan(cache: LaneCache, window: int, count: int, keys: int, pieces: Sequence[Piece], is_whole: bool) -> Group:
    device, size = cache.data.device, cache.block_size
    rows = None
    if not is_whole:
        rows = torch.tensor([piece.row + i for piece in pieces for i in range(count)], device=device)
    firsts = [first_key(cache, piece, window) for piece in pieces]
    blocks = [
        block
        for piece, first in zip(pieces, firsts, strict=True)
        for block in cache.padded_blocks(piece.sequence, first // size, keys // size)
    ]
    # Of each token, counted from the first key that is looked at.
    last = [[[[piece.start + i - first]] for i in range(count)] for piece, first in zip(pieces, firsts, strict=True)]
    place, ends = torch.arange(keys, device=device), torch.tensor(last, device=device)
    hidden = place > ends
    if window:
        hidden |= place <= ends - window
    mask = torch.zeros(hidden.shape, device=device).masked_fill_(hidden, float("-inf"))
    return Group(rows=rows, blocks=torch.tensor(blocks, device=device), mask=mask)


def _attend_group(query: torch.Tensor, cache: LaneCache, layer: int, group: Group, reading: Reading) -> torch.Tensor:
    (num_sequences, count, _, num_keys), dim = group.mask.shape, query.shape[-1]
    kv_heads = reading.kv_heads
    per_kv, batch = query.shape[1] // kv_heads, kv_heads * num_sequences
    # [K, S, C, G, D]: the query heads that share keys are rows of one product, and too few of them are filled up.
    shared = query.view(num_sequences, count, kv_heads, per_kv, dim).permute(2, 0, 1, 3, 4)
    width = per_kv
    if count * per_kv < MIN_ROWS:
        width = MIN_ROWS
        shared = torch.constant_pad_nd(shared, (0, 0, 0, width - per_kv))
    keys, values = _keys_and_values(cache.read(layer, group.blocks), num_keys, dim, reading)
    scores = torch.bmm(shared.reshape(batch, count * width, dim), keys.transpose(1, 2))
    weights = _weights(scores.view(kv_heads, num_sequences, count, width, num_keys), group.mask, reading)
    weights = to_dtype(weights, query.dtype).view(batch, count * width, num_keys)
    mixed = _mix(weights, values).view(kv_heads, num_sequences, count, width, -1)
    if width > per_kv:
        mixed = mixed[..., :per_kv, :]
    return mixed.permute(1, 2, 0, 3, 4).reshape(num_sequences * count, -1)


def _keys_and_values(
    pages: torch.Tensor, num_keys: int, dim: int, reading: Reading
) -> tuple[torch.Tensor, torch.Tensor]:
    """[K * S, L, D] and [K * S, L, V] of what the cache gave."""
    if reading.latent:
        keys = pages.view(-1, num_keys, dim)
        return keys, keys[..., : reading.latent]
    keys, values = pages.view(2, -1, num_keys, dim).unbind()
    return keys, values


def _weights(scores: torch.Tensor, mask: torch.Tensor, reading: Reading) -> torch.Tensor:
    """The softmax of scores [K, S, C, G, L] under the mask, in fp32."""
    if reading.sinks is None:
        return torch.softmax(scores + mask, -1)
    # The sink stands before all keys, as wide as keys go: their sums are then the same whatever comes after.
    kv_heads, num_keys = scores.shape[0], scores.shape[-1]
    all_scores = torch.full((*scores.shape[:-1], KEYS_UNIT + num_keys), float("-inf"), device=scores.device)
    sinks = reading.sinks.view(kv_heads, -1)
    all_scores[..., : sinks.shape[1], 0] = sinks[:, None, None]
    torch.add(scores, mask, out=all_scores[..., KEYS_UNIT:])
    return torch.softmax(all_scores, -1)[..., KEYS_UNIT:]


def _mix(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """weights [batch, rows, L] @ values [batch, L, D], summed in tiles of keys."""
    num_keys = values.shape[1]
    if num_keys <= TILE:
        return torch.bmm(weights, values)
    mixed = torch.bmm(weights[:, :, :TILE], values[:, :TILE])
    for start in range(TILE, num_keys, TILE):
        mixed = mixed + torch.bmm(weights[:, :, start : start + TILE], values[:, start : start + TILE])
    return mixed
