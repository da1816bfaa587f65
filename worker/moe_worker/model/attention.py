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
from moe_worker.model.indices import index_tensor
from moe_worker.model.kv import LaneCache
from moe_worker.model.projection import is_widened

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
class Part:
    """The group's tokens `tokens` of each sequence and the keys `keys` of those gathered (None: all), of which all
    before `masked_from` are seen by all of them; `mask` [S, C, 1, keys after that].
    """

    tokens: slice | None
    keys: slice | None
    masked_from: int
    mask: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """Segments of one count and about one length, or one long segment, whose keys are gathered in one go.

    `rows` of the step [S * C] (None: all of them, in order, with those that pad); `blocks` [S * L / block_size].
    """

    rows: torch.Tensor | None
    blocks: torch.Tensor
    num_sequences: int
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Piece:
    """`count` tokens of one sequence from position `start` on, which are the step's rows from `row` on."""

    sequence: int
    row: int
    start: int
    count: int


def plan_groups(cache: LaneCache, segments: Sequence[Segment], window: int) -> list[Group]:
    """The groups of a step whose segments the cache already counts, for layers of that window (0: none).

    A segment that is alone takes the step's padding with it, as tokens after its own: that saves cutting it off.
    """
    unit = lcm(KEYS_UNIT, cache.block_size)
    members: dict[tuple[int, int, int], list[Piece]] = {}
    row = 0
    for segment in segments:
        piece = Piece(segment.sequence, row, segment.start, segment.count)
        length = piece.start + piece.count - first_key(cache, piece, window)
        # Long ones are large enough to go alone; then there is no need for few sizes.
        is_long = piece.count > QUERIES
        keys = -(-length // unit) * unit if is_long else padded_keys(length, unit)
        members.setdefault((piece.count, keys, row if is_long else -1), []).append(piece)
        row += segment.count
    padding = max(MIN_ROWS - row, 0) if len(segments) == 1 else 0
    is_whole = len(members) == 1 and row + padding >= MIN_ROWS
    return [_plan(cache, window, keys, found, padding, is_whole) for (_, keys, _), found in members.items()]


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
        mixed = _attend_group(query.index_select(0, group.rows), cache, layer, group, reading)
        out = mixed.new_zeros((len(query), mixed.shape[1])) if out is None else out
        out.index_copy_(0, group.rows, mixed)
    assert out is not None, "a step has segments"
    return out


def _plan(cache: LaneCache, window: int, keys: int, pieces: Sequence[Piece], padding: int, is_whole: bool) -> Group:
    device, size, count = cache.data.device, cache.block_size, pieces[0].count + padding
    rows = None
    if not is_whole:
        rows = index_tensor([piece.row + i for piece in pieces for i in range(count)], device)
    firsts = [first_key(cache, piece, window) for piece in pieces]
    blocks = [
        block
        for piece, first in zip(pieces, firsts, strict=True)
        for block in cache.padded_blocks(piece.sequence, first // size, keys // size)
    ]
    # Of each sequence's first token, counted from the first key that is gathered.
    starts = [piece.start - first for piece, first in zip(pieces, firsts, strict=True)]
    return Group(
        rows=rows,
        blocks=index_tensor(blocks, device),
        num_sequences=len(pieces),
        parts=_parts(starts, count, keys, window, device),
    )


def _parts(starts: Sequence[int], count: int, num_keys: int, window: int, device: torch.device) -> list[Part]:
    """All tokens of short segments in one part, those of a long one by QUERIES."""
    if count <= QUERIES:
        # With few keys leaving some out costs more than it saves.
        masked_from = 0 if window or num_keys <= TILE else min(starts)
        mask = _mask([start - masked_from for start in starts], count, num_keys - masked_from, window, device)
        return [Part(tokens=None, keys=None, masked_from=masked_from, mask=mask)]
    [start], parts = starts, []
    for first in range(0, count, QUERIES):
        tokens = slice(first, min(first + QUERIES, count))
        begin = max(start + first - window + 1, 0) // TILE * TILE if window else 0
        end = -(-(start + tokens.stop) // KEYS_UNIT) * KEYS_UNIT
        masked_from = begin if window else start + first
        own, length = start + first - masked_from, tokens.stop - tokens.start
        mask = _mask([own], length, end - masked_from, window, device)
        parts.append(Part(tokens=tokens, keys=slice(begin, end), masked_from=masked_from - begin, mask=mask))
    return parts


def _mask(starts: Sequence[int], count: int, num_keys: int, window: int, device: torch.device) -> torch.Tensor:
    """Of `count` tokens from each of `starts` on, over `num_keys` keys: [S, C, 1, keys]."""
    if len(starts) == 1:
        # Most steps of a pipeline with many lanes are one sequence's: two small operations instead of seven.
        alone = torch.full((count, num_keys), float("-inf"), device=device).triu_(starts[0] + 1)
        if window:
            alone += torch.full_like(alone, float("-inf")).tril_(starts[0] - window)
        return alone.view(1, count, 1, num_keys)
    last = index_tensor([start + i for start in starts for i in range(count)], device).view(-1, count, 1, 1)
    place = torch.arange(num_keys, device=device)
    hidden = place > last
    if window:
        hidden |= place <= last - window
    return torch.zeros(hidden.shape, device=device).masked_fill_(hidden, float("-inf"))


def _attend_group(query: torch.Tensor, cache: LaneCache, layer: int, group: Group, reading: Reading) -> torch.Tensor:
    dim, kv_heads, sequences = query.shape[-1], reading.kv_heads, group.num_sequences
    # [S, C, K, G, D]: the query heads that share keys are rows of one product.
    shared = query.view(sequences, -1, kv_heads, query.shape[1] // kv_heads, dim)
    pages = cache.read(layer, group.blocks)
    if is_widened(pages):
        pages, shared = pages.float(), shared.float()
    keys, values = _keys_and_values(pages, kv_heads * sequences, dim, reading)
    mixed = [_attend_part(shared, keys, values, part, reading) for part in group.parts]
    whole = mixed[0] if len(mixed) == 1 else torch.cat(mixed, 1)
    return to_dtype(whole.reshape(query.shape[0], -1), query.dtype)


def _attend_part(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, part: Part, reading: Reading
) -> torch.Tensor:
    """The part's of query [S, C, K, G, D], keys [K * S, L, D], values [K * S, L, V] -> [S, C, K, G, V]."""
    if part.tokens is not None:
        query, keys, values = query[:, part.tokens], keys[:, part.keys], values[:, part.keys]
    num_sequences, count, kv_heads, per_kv, dim = query.shape
    rows, width, num_keys = query.permute(2, 0, 1, 3, 4), per_kv, keys.shape[1]
    if count * per_kv < MIN_ROWS:
        width = MIN_ROWS
        rows = torch.constant_pad_nd(rows, (0, 0, 0, width - per_kv))
    scores = torch.bmm(rows.reshape(keys.shape[0], count * width, dim), keys.transpose(1, 2))
    weights = _weights(scores.view(kv_heads, num_sequences, count, width, num_keys), part, reading)
    mixed = _mix(to_dtype(weights, values.dtype).view(keys.shape[0], count * width, num_keys), values)
    mixed = mixed.view(kv_heads, num_sequences, count, width, -1)
    if width > per_kv:
        mixed = mixed[..., :per_kv, :]
    return mixed.permute(1, 2, 0, 3, 4)


def _keys_and_values(
    pages: torch.Tensor, num_tables: int, dim: int, reading: Reading
) -> tuple[torch.Tensor, torch.Tensor]:
    """[K * S, L, D] and [K * S, L, V] of what the cache gave."""
    if reading.latent:
        keys = pages.view(num_tables, -1, dim)
        return keys, keys[..., : reading.latent]
    keys, values = pages.view(2, num_tables, -1, dim).unbind()
    return keys, values


def _weights(scores: torch.Tensor, part: Part, reading: Reading) -> torch.Tensor:
    """The softmax in fp32 of scores [K, S, C, G, L], which it may overwrite, under the part's mask."""
    scores = to_dtype(scores, torch.float32)
    (scores[..., part.masked_from :] if part.masked_from else scores).add_(part.mask)
    if reading.sinks is None:
        return torch.softmax(scores, -1)
    # The sink stands before all keys, as wide as keys go: their sums are then the same whatever comes after.
    sinks = reading.sinks.view(len(scores), -1)
    before = torch.full((*scores.shape[:-1], KEYS_UNIT), float("-inf"), device=scores.device)
    before[..., : sinks.shape[1], 0] = sinks[:, None, None]
    return torch.softmax(torch.cat((before, scores), -1), -1)[..., KEYS_UNIT:]


def _mix(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """weights [batch, rows, L] @ values [batch, L, D], summed in tiles of keys."""
    if values.shape[1] <= TILE:
        return torch.bmm(weights, values)
    mixed = torch.bmm(weights[:, :, :TILE], values[:, :TILE])
    for start in range(TILE, values.shape[1], TILE):
        mixed += torch.bmm(weights[:, :, start : start + TILE], values[:, start : start + TILE])
    return mixed
