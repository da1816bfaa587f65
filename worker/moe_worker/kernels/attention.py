"""Attention over a paged cache: keys and values to their places, and the reading of them."""

from array import array
from dataclasses import dataclass

import torch

from moe_worker.kernels.library import ADDRESS, FLOAT, NUMBER, kernels

PLACE_HEADS = kernels(
    "moe_place_heads",
    *(
        ADDRESS,
        *(NUMBER,) * 4,
        ADDRESS,
        FLOAT,
        FLOAT,
        NUMBER,
        ADDRESS,
        ADDRESS,
        ADDRESS,
        FLOAT,
        ADDRESS,
        NUMBER,
        ADDRESS,
    ),
)
ATTEND = kernels(
    "moe_attend",
    *(ADDRESS, NUMBER, ADDRESS, *(NUMBER,) * 6, ADDRESS, ADDRESS, NUMBER, ADDRESS, NUMBER, ADDRESS),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadNorms:
    """Norms of queries and keys: `weight` [heads + kv_heads, dim] in fp32 as `norm` has it, and its two floors. Each
    head is normed by itself, or all of a kind at once, `query_width` numbers of queries.
    """

    weight: torch.Tensor
    query_floor: float
    key_floor: float
    query_width: int
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    """Where the rows of a step belong: position and slot of each; `segments` [n, 4]: first row, position of its token,
    tokens, where its sequence's blocks begin in `blocks`. int64 all.
    """

    positions: "array[int]"
    slots: "array[int]"
    segments: "array[int]"
    blocks: "array[int]"
    block_size: int


def place_heads(
    qkv: torch.Tensor,
    heads: int,
    norms: HeadNorms | None,
    cosines: torch.Tensor,
    sines: torch.Tensor,
    scale: float,
    cache: torch.Tensor,
    places: Places,
) -> None:
    """Changes qkv [rows, (heads + 2 * kv_heads) * dim] in place: queries and keys are normed and turned, by cosines and
    sines [all positions, 1, dim], queries multiplied by `scale`; keys and values go to cache [2 * kv_heads, tokens,
    dim].
    """
    kv_heads, dim = cache.shape[0] // 2, cache.shape[2]
    weight, query_floor, key_floor, is_whole = 0, 0.0, 0.0, False
    if norms is not None:
        weight, is_whole = norms.weight.data_ptr(), norms.is_whole
        query_floor, key_floor = norms.query_floor, norms.key_floor
    PLACE_HEADS[qkv.dtype](
        *(qkv.data_ptr(), qkv.shape[0], heads, kv_heads, dim, weight, query_floor, key_floor, is_whole),
        *(cosines.data_ptr(), sines.data_ptr(), places.positions.buffer_info()[0], scale),
        *(cache.data_ptr(), cache.stride(0), places.slots.buffer_info()[0]),
    )


def attend(
    query: torch.Tensor,
    heads: int,
    cache: torch.Tensor,
    places: Places,
    *,
    latent: int = 0,
    window: int = 0,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    """query [rows, at least heads * dim], scaled, over cache [heads of a row, tokens, dim] -> [rows, heads * value's
    width]. Keys' heads, then values' heads; with `latent` there is one, whose first so many numbers are the value.
    `sinks` [heads] in fp32: logits of a key that every token sees and whose value is zero. `window`: so many keys are
    seen.
    """
    rows, dim = query.shape[0], cache.shape[2]
    kv_heads = 1 if latent else cache.shape[0] // 2
    out = query.new_empty((rows, heads * (latent or dim)))
    ATTEND[query.dtype](
        *(query.data_ptr(), query.stride(0), cache.data_ptr(), cache.stride(0), heads, kv_heads, dim, latent, window),
        *(0 if sinks is None else sinks.data_ptr(), places.segments.buffer_info()[0], len(places.segments) // 4),
        *(places.blocks.buffer_info()[0], places.block_size, out.data_ptr()),
    )
    return out
