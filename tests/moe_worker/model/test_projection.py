"""Packed or not, a projection gives a row the same bits at every number of rows; packing is chosen by shape alone."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from moe_worker.model.blocks import MIN_ROWS
from moe_worker.model.feed_forward import FeedForward
from moe_worker.model.projection import (
    FEWEST,
    TRIED_ROWS,
    PackedProjection,
    WidenedProjection,
    is_packable,
    is_widened,
    keeps_bits,
    kernel_rows,
    make_projection,
)

COUNTS = [*range(1, 70), 100, 127, 128, 129, 200, 255, 256, 257, 300, 511, 512]
LARGE = [(512, 512), (1536, 512), (2048, 512), (512, 1024), (600, 1000), (517, 1031), (4096, 512), (512, 4096)]
SMALL = [(64, 64), (16, 512), (511, 512), (2, 512)]


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize(("out", "width"), LARGE + SMALL)
def test_a_row_has_the_same_bits_whatever_is_beside_it(out: int, width: int, has_bias: bool) -> None:
    projection = make_projection(torch.randn(out, width), torch.randn(out) if has_bias else None)
    x, residual = torch.randn(512, width), torch.randn(512, out)
    whole, summed = projection(x), projection.added(residual, x)
    for rows in COUNTS[projection.min_rows - 1 :]:
        for first in (0, 512 - rows):
            part = slice(first, first + rows)
            assert torch.equal(projection(x[part].clone()), whole[part])
            assert torch.equal(projection.added(residual[part].clone(), x[part].clone()), summed[part])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("out", "width"), [(2048, 512), (512, 1024), (517, 1031), (64, 64)])
def test_a_row_of_a_narrow_type_has_the_same_bits_whatever_is_beside_it(
    out: int, width: int, dtype: torch.dtype
) -> None:
    projection, x = make_projection(torch.randn(out, width).to(dtype)), torch.randn(64, width).to(dtype)
    residual = torch.randn(64, out).to(dtype)
    whole, summed = projection(x), projection.added(residual, x)
    for rows in range(projection.min_rows, 65):
        assert torch.equal(projection(x[:rows].clone()), whole[:rows])
        assert torch.equal(projection.added(residual[:rows].clone(), x[:rows].clone()), summed[:rows])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("out", "width"), LARGE + SMALL)
def test_it_is_the_product_with_the_weight(out: int, width: int, dtype: torch.dtype) -> None:
    weight, bias, x = torch.randn(out, width).to(dtype), torch.randn(out).to(dtype), torch.randn(9, width).to(dtype)
    room = {torch.float32: 1e-5, torch.bfloat16: 0.01, torch.float16: 0.002}[dtype]
    for given in (None, bias):
        expected = F.linear(x.double(), weight.double(), None if given is None else given.double())
        projection = make_projection(weight, given)
        torch.testing.assert_close(projection(x).double(), expected, rtol=room, atol=50 * room)
        residual = torch.ones(9, out, dtype=dtype)
        torch.testing.assert_close(projection.added(residual, x).double(), expected + 1, rtol=room, atol=50 * room)


def test_large_weights_are_packed_where_there_are_kernels_that_keep_the_bits() -> None:
    for out, width in LARGE:
        is_packed = isinstance(make_projection(torch.randn(out, width)), PackedProjection)
        assert is_packed == (
            out * width >= FEWEST and is_packable(torch.float32) and keeps_bits(out, width, torch.float32)
        )
    for out, width in SMALL:
        assert not isinstance(make_projection(torch.randn(out, width)), PackedProjection)
    assert not isinstance(make_projection(torch.randn(1024, 512).half()), PackedProjection)


def test_few_numbers_of_rows_have_kernels_of_their_own() -> None:
    used = [kernel_rows(rows) for rows in range(1, 2049)]
    assert all(rows <= padded <= rows * 1.25 or padded == 12 for rows, padded in enumerate(used, 1))
    assert sorted(set(used))[:18] == [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64]
    assert len(set(used)) == 38
    assert set(TRIED_ROWS) <= set(used)


def test_products_are_computed_in_fp32_where_there_are_no_kernels_for_the_type() -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        weight = torch.randn(64, 64).to(dtype)
        is_wide = dtype is not torch.float32 and not is_packable(dtype)
        assert is_widened(weight) == isinstance(make_projection(weight), WidenedProjection) == is_wide


@pytest.mark.parametrize("width", [40, 520, 700])
def test_a_network_works_row_by_row_from_its_least_number_of_rows_on(width: int) -> None:
    network = FeedForward(
        gate_up=make_projection(torch.randn(2 * width, width)), down=make_projection(torch.randn(width, width))
    )
    x = torch.randn(40, width)
    whole = network(x)
    assert network.min_rows == (1 if isinstance(network.down, PackedProjection) else MIN_ROWS)
    for rows in range(network.min_rows, 20):
        for first in (0, 1, 40 - rows):
            assert torch.equal(network(x[first : first + rows].clone()), whole[first : first + rows])


def test_two_ranks_pack_a_weight_alike() -> None:
    weight, x = torch.randn(1024, 512), torch.randn(8, 512)
    assert torch.equal(make_projection(weight.clone())(x), make_projection(weight.clone())(x))


def test_rows_may_lie_anywhere_in_memory() -> None:
    projection, x = make_projection(torch.randn(1024, 512)), torch.randn(33, 512)
    product, memory = projection(x), bytearray(33 * 512 * 4 + 64)
    for offset in (0, 4, 12, 36):
        moved = torch.frombuffer(memory, dtype=torch.float32, count=33 * 512, offset=offset).view(33, 512)
        assert torch.equal(projection(moved.copy_(x)), product)
    wide = torch.cat((x, x), 1)
    assert torch.equal(projection(wide[:, 512:]), product)
