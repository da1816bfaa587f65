import random
from array import array
from dataclasses import dataclass

import pytest
import torch

from moe_worker.kernels.attention import HeadNorms, Places, attend, place_heads
from moe_worker.kernels.routing import norm
from moe_worker.model.rotary import Rotary, make_rotation, rotate

TYPES = [torch.float32, torch.bfloat16]
ROOM = {torch.float32: 3e-6, torch.bfloat16: 0.01}


@dataclass(frozen=True, kw_only=True)
class Shape:
    heads: int
    kv_heads: int
    width: int
    block_size: int = 16
    latent: int = 0
    window: int = 0
    has_sinks: bool = False


SHAPES = [
    Shape(heads=4, kv_heads=4, width=64),
    Shape(heads=6, kv_heads=2, width=24, window=20),
    Shape(heads=8, kv_heads=2, width=16, block_size=4, has_sinks=True),
    Shape(heads=6, kv_heads=3, width=13, block_size=5, window=3, has_sinks=True),
    Shape(heads=5, kv_heads=1, width=40, latent=32),
    Shape(heads=1, kv_heads=1, width=1, block_size=1),
]


class Sequence:
    """One sequence of a shape in a cache of its own, its blocks in any order."""

    def __init__(self, shape: Shape, length: int, dtype: torch.dtype) -> None:
        self.shape, self.length = shape, length
        count = -(-length // shape.block_size)
        self.blocks = random.Random(length).sample(range(count + 5), count)
        rows = 1 if shape.latent else 2 * shape.kv_heads
        # What belongs to nobody must not matter.
        self.cache = torch.full((rows, (count + 5) * shape.block_size, shape.width), float("nan"), dtype=dtype)
        self.slots = [
            self.blocks[p // shape.block_size] * shape.block_size + p % shape.block_size for p in range(length)
        ]
        self.cache[:, self.slots] = torch.randn(rows, length, shape.width).to(dtype)
        self.query = (torch.randn(length, shape.heads * shape.width) / shape.width**0.5).to(dtype)
        self.sinks = torch.randn(shape.heads) if shape.has_sinks else None

    def seen(self, start: int, count: int) -> torch.Tensor:
        """What `count` tokens from `start` on see."""
        return self._attend([(0, start, count)], self.query[start : start + count])

    def seen_together(self, parts: list[tuple[int, int]]) -> torch.Tensor:
        """Several runs of tokens (start, count) in one step."""
        segments, row = [], 0
        for start, count in parts:
            segments.append((row, start, count))
            row += count
        return self._attend(segments, torch.cat([self.query[start : start + count] for start, count in parts]))

    def expected(self) -> torch.Tensor:
        """What all tokens see, by the formula."""
        s, cache = self.shape, self.cache[:, self.slots].double()
        keys, values = (cache, cache[..., : s.latent]) if s.latent else cache.chunk(2)
        queries = self.query.double().view(self.length, s.heads, s.width).transpose(0, 1)
        shared = s.heads // keys.shape[0]
        scores = queries @ keys.repeat_interleave(shared, 0).transpose(1, 2)
        place = torch.arange(self.length)
        hidden = place > place[:, None]
        if s.window:
            hidden |= place <= place[:, None] - s.window
        scores.masked_fill_(hidden, -torch.inf)
        if self.sinks is not None:
            scores = torch.cat((scores, self.sinks.double()[:, None, None].expand(-1, self.length, 1)), -1)
        weights = torch.softmax(scores, -1)[..., : self.length]
        return (weights @ values.repeat_interleave(shared, 0)).transpose(0, 1).flatten(1)

    def _attend(self, segments: list[tuple[int, int, int]], query: torch.Tensor) -> torch.Tensor:
        s = self.shape
        places = Places(
            positions=array("q"),
            slots=array("q"),
            segments=array("q", [number for segment in segments for number in (*segment, 0)]),
            blocks=array("q", self.blocks),
            block_size=s.block_size,
        )
        return attend(query, s.heads, self.cache, places, latent=s.latent, window=s.window, sinks=self.sinks)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("length", [1, 2, 7, 63, 64, 65, 150])
def test_it_is_the_formula(shape: Shape, length: int, dtype: torch.dtype) -> None:
    sequence = Sequence(shape, length, dtype)
    expected, room = sequence.expected(), ROOM[dtype]
    torch.testing.assert_close(
        sequence.seen(0, length).double(), expected, rtol=room, atol=room * float(expected.abs().max())
    )


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_token_has_the_same_bits_alone_in_any_chunk_and_in_company(shape: Shape, dtype: torch.dtype) -> None:
    sequence = Sequence(shape, 150, dtype)
    whole = sequence.seen(0, 150)
    assert torch.equal(torch.cat([sequence.seen(position, 1) for position in range(150)]), whole)
    for size in (2, 3, 5, 8, 16, 31, 64, 100):
        chunks = [(start, min(size, 150 - start)) for start in range(0, 150, size)]
        assert torch.equal(torch.cat([sequence.seen(*chunk) for chunk in chunks]), whole)
        assert torch.equal(sequence.seen_together(chunks), whole)


def test_weights_of_far_keys_are_exact_zeros_and_none_is_lost() -> None:
    sequence = Sequence(Shape(heads=1, kv_heads=1, width=8), 3, torch.float32)
    sequence.cache[0, sequence.slots] = torch.tensor([[1.0], [0.0], [-1.0]]).expand(3, 8)
    sequence.query[2] = 100.0
    assert torch.equal(sequence.seen(2, 1)[0], sequence.cache[1, sequence.slots[0]])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("norms", ["none", "each", "whole"])
def test_queries_and_keys_are_normed_turned_and_placed(norms: str, dtype: torch.dtype) -> None:
    heads, kv_heads, dim, rows, length = 6, 2, 24, 9, 40
    rotation = make_rotation(length, Rotary(dim=dim, theta=1e4), torch.empty(0, dtype=dtype))
    qkv = torch.randn(rows, (heads + 2 * kv_heads) * dim).to(dtype)
    positions, slots = [3, 4, 5, 39, 0, 1, 2, 8, 9], [7, 8, 9, 0, 20, 21, 22, 31, 30]
    weight, floor = torch.rand(heads + kv_heads, dim) + 0.5, 1e-3
    both = qkv.view(rows, -1, dim)[:, : heads + kv_heads].clone()
    expected = both.clone()
    if norms == "each":
        for head in range(heads + kv_heads):
            expected[:, head] = norm(both[:, head], weight[head], floor)
    if norms == "whole":
        for part, lowest in ((slice(0, heads), floor), (slice(heads, None), 2 * floor)):
            expected[:, part] = norm(both[:, part].flatten(1), weight[part].flatten(), lowest).view_as(both[:, part])
    values = qkv.view(rows, -1, dim)[:, heads + kv_heads :].clone()
    rotate(expected.clone(), rotation.at(torch.tensor(positions)), expected)
    expected[:, :heads] *= 0.5

    all_norms = HeadNorms(
        weight=weight,
        query_floor=floor,
        key_floor=floor if norms == "each" else 2 * floor,
        query_width=heads * dim,
        is_whole=norms == "whole",
    )
    cache = torch.zeros(2 * kv_heads, 32, dim, dtype=dtype)
    places = Places(
        positions=array("q", positions), slots=array("q", slots), segments=array("q"), blocks=array("q"), block_size=16
    )
    given = None if norms == "none" else all_norms
    place_heads(qkv, heads, given, rotation.cos, rotation.sin, 0.5, cache, places)
    found, room = qkv.view(rows, -1, dim), 0.03 if dtype is torch.bfloat16 else 1e-6
    torch.testing.assert_close(found[:, : heads + kv_heads], expected, rtol=room, atol=room)
    assert torch.equal(cache[:kv_heads, slots].transpose(0, 1), found[:, heads : heads + kv_heads])
    assert torch.equal(cache[kv_heads:, slots].transpose(0, 1), values)
    others = [slot for slot in range(32) if slot not in slots]
    assert not cache[:, others].any()
