"""What "same tokens whatever the batch" rests on where torch computes: it gives a row the same bits in any company."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from moe_worker.model.attention import KEYS_UNIT, TILE
from moe_worker.model.blocks import MIN_ROWS, make_norm
from moe_worker.model.feed_forward import Clamp, FeedForward, Shared
from moe_worker.model.projection import Projection
from moe_worker.model.rotary import Rotary, make_rotation, rotate
from moe_worker.model.routing import Groups, Router, choose

LINEARS = [(64, 128), (64, 96), (64, 16), (64, 2), (32, 64), (72, 5), (40, 72), (128, 256), (512, 2048), (1024, 512)]
COUNTS = [*range(MIN_ROWS, 70), 100, 127, 128, 129, 200, 255, 256, 300]


@pytest.mark.parametrize(("width", "out"), LINEARS)
def test_a_row_of_a_product_has_the_same_bits_from_four_rows_up(width: int, out: int) -> None:
    weight, x, residual = torch.randn(out, width), torch.randn(300, width), torch.randn(300, out)
    product, sum_ = F.linear(x, weight), torch.addmm(residual, x, weight.t())
    for rows in COUNTS:
        for part in (slice(0, rows), slice(300 - rows, 300)):
            assert torch.equal(F.linear(x[part].clone(), weight), product[part])
            assert torch.equal(torch.addmm(residual[part].clone(), x[part].clone(), weight.t()), sum_[part])


def test_a_row_has_the_same_bits_wherever_its_bytes_lie() -> None:
    weight, x = torch.randn(128, 64), torch.randn(33, 64)
    product, memory = F.linear(x, weight), bytearray(33 * 64 * 4 + 64)
    for offset in (0, 1, 2, 4, 8, 16, 36):
        moved = torch.frombuffer(memory, dtype=torch.float32, count=33 * 64, offset=offset).view(33, 64)
        assert torch.equal(F.linear(moved.copy_(x), weight), product)


def projection(width: int, out: int) -> Projection:
    return Projection(weight=torch.randn(out, width), bias=torch.randn(out))


@pytest.mark.parametrize("width", [16, 40, 64, 100, 512, 1024])
def test_norm_rotation_and_feed_forward_work_row_by_row(width: int) -> None:
    x, positions = torch.randn(300, width), torch.arange(300)
    plain = FeedForward(gate_up=projection(width, 2 * width), down=projection(width, width))
    clamped = FeedForward(gate_up=plain.gate_up, down=plain.down, clamp=Clamp(limit=1.5, alpha=1.7))
    shared = Shared(gate=projection(width, 2), network=plain)
    blocks = [make_norm(torch.randn(width), 1e-6), plain, clamped, shared]
    rotation = make_rotation(300, Rotary(dim=width, theta=1e4), x)

    def turned(first: int) -> torch.Tensor:
        out = torch.empty(300 - first, 1, width)
        rotate(x[first:, None].clone(), rotation.at(positions[first:]), out)
        return out

    whole, all_turned = [block(x) for block in blocks], turned(0)
    for first in [*range(0, 296, 7), *range(280, 297)]:
        for block, expected in zip(blocks, whole, strict=True):
            assert torch.equal(block(x[first:].clone()), expected[first:])
        assert torch.equal(turned(first), all_turned[first:])


@pytest.mark.parametrize("router", [{"is_normalised": True}, {"is_normalised": False}, {"groups": 2}, {"scale": 1.3}])
@pytest.mark.parametrize(("experts", "chosen"), [(4, 1), (16, 2), (60, 4), (128, 8)])
def test_the_router_works_row_by_row(experts: int, chosen: int, router: dict[str, Any]) -> None:
    groups = Groups(count=router.pop("groups"), chosen=1) if "groups" in router else None
    options = {"is_normalised": False, "groups": groups} | router
    rule = Router(projection=projection(1, experts), choices=chosen, **options)
    logits = torch.randn(200, experts)
    logits[50:60] = 0.5  # ties
    whole = choose(rule, logits, torch.float32)
    for first in (1, 2, 3, 53, 100, 199):
        part = choose(rule, logits[first:].clone(), torch.float32)
        assert part.experts == whole.experts[first:]
        assert torch.equal(part.weights, whole.weights[first:])


@pytest.mark.parametrize("dim", [8, 16, 24, 64, 128])
def test_scores_are_the_same_bits_for_any_number_of_queries_and_keys(dim: int) -> None:
    query, keys = torch.randn(1, 512, dim), torch.randn(1, 2048, dim)
    whole = torch.bmm(query, keys.transpose(1, 2))
    for rows in (4, 5, 6, 7, 8, 12, 31, 64, 200, 512):
        for count in (KEYS_UNIT, 64, 96, 128, 192, 1024, 2048):
            part = torch.bmm(query[:, :rows].repeat(3, 1, 1), keys[:, :count].repeat(3, 1, 1).transpose(1, 2))
            assert torch.equal(part[2], whole[0, :rows, :count])


@pytest.mark.parametrize("dim", [8, 16, 24, 64, 128])
def test_masked_keys_change_no_bit_of_the_mix(dim: int) -> None:
    values = torch.randn(1, TILE, dim)
    for seen in range(1, TILE + 1, 5):
        weights = torch.softmax(torch.randn(1, 128, TILE).index_fill_(2, torch.arange(seen, TILE), -torch.inf), -1)
        whole = torch.bmm(weights, values)
        for count in range(-(-seen // KEYS_UNIT) * KEYS_UNIT, TILE + 1, KEYS_UNIT):
            for rows in (4, 5, 8, 33, 128):
                assert torch.equal(torch.bmm(weights[:, :rows, :count].clone(), values[:, :count]), whole[:, :rows])


def test_masked_keys_change_no_bit_of_a_softmax() -> None:
    for seen in (1, 5, 31, 32, 100, 300, 1000):
        scores = torch.randn(40, 4096).index_fill_(1, torch.arange(seen, 4096), -torch.inf)
        whole = torch.softmax(scores, -1)
        for count in range(-(-seen // KEYS_UNIT) * KEYS_UNIT, 4097, 480 if seen > 32 else KEYS_UNIT):
            for rows in (1, 3, 40):
                assert torch.equal(torch.softmax(scores[:rows, :count].clone(), -1), whole[:rows, :count])
