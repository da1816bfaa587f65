"""Of either kind, a projection gives a row the same bits at every number of rows that it takes."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from moe_worker.model.blocks import MIN_ROWS
from moe_worker.model.feed_forward import make_feed_forward
from moe_worker.model.projection import WidenedProjection, is_widened, make_projection

COUNTS = [*range(1, 70), 100, 127, 128, 129, 200, 255, 256, 257, 300, 511, 512]
SHAPES = [(512, 512), (2048, 512), (512, 1024), (517, 1031), (64, 64), (16, 512), (2, 512)]


@pytest.mark.parametrize("is_native", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize(("out", "width"), SHAPES)
def test_a_row_has_the_same_bits_whatever_is_beside_it(out: int, width: int, has_bias: bool, is_native: bool) -> None:
    bias = torch.randn(out) if has_bias else None
    projection = make_projection(torch.randn(out, width), bias, is_native=is_native)
    x, residual = torch.randn(512, width), torch.randn(512, out)
    whole, summed = projection(x), projection.added(residual, x)
    assert projection.min_rows == (1 if is_native else MIN_ROWS)
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
@pytest.mark.parametrize(("out", "width"), SHAPES)
def test_it_is_the_product_with_the_weight(out: int, width: int, dtype: torch.dtype) -> None:
    weight, bias, x = torch.randn(out, width).to(dtype), torch.randn(out).to(dtype), torch.randn(9, width).to(dtype)
    room = {torch.float32: 1e-5, torch.bfloat16: 0.01, torch.float16: 0.002}[dtype]
    for given in (None, bias):
        expected = F.linear(x.double(), weight.double(), None if given is None else given.double())
        for is_native in {False, dtype is not torch.float16}:
            projection = make_projection(weight, given, is_native=is_native)
            torch.testing.assert_close(projection(x).double(), expected, rtol=room, atol=50 * room)
            residual = torch.ones(9, out, dtype=dtype)
            torch.testing.assert_close(projection.added(residual, x).double(), expected + 1, rtol=room, atol=50 * room)


def test_products_are_computed_in_fp32_where_torch_has_no_kernels_for_the_type() -> None:
    for dtype in (torch.float32, torch.float16):
        weight = torch.randn(64, 64).to(dtype)
        is_wide = dtype is torch.float16
        assert is_widened(weight) == isinstance(make_projection(weight), WidenedProjection) == is_wide


@pytest.mark.parametrize("is_native", [False, True])
@pytest.mark.parametrize("width", [40, 520, 700])
def test_a_network_works_row_by_row_from_its_least_number_of_rows_on(width: int, is_native: bool) -> None:
    network = make_feed_forward(
        make_projection(torch.randn(2 * width, width), is_native=is_native),
        make_projection(torch.randn(width, width), is_native=is_native),
    )
    x = torch.randn(40, width)
    whole = network(x)
    for rows in range(network.min_rows, 20):
        for first in (0, 1, 40 - rows):
            assert torch.equal(network(x[first : first + rows].clone()), whole[first : first + rows])


def test_two_ranks_pack_a_weight_alike() -> None:
    weight, x = torch.randn(1024, 512), torch.randn(8, 512)
    first, second = (make_projection(weight.clone(), is_native=True) for _ in range(2))
    assert torch.equal(first(x), second(x))
