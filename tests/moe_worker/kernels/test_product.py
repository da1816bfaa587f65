import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from moe_worker.kernels.product import Packed, feed_forward, pack

TYPES = [torch.float32, torch.bfloat16]
SHAPES = [(512, 512), (2048, 512), (512, 1024), (64, 64), (16, 512), (2, 64), (1, 7), (5, 72), (517, 1031), (40, 300)]
COUNTS = [*range(1, 14), 18, 19, 47, 48, 49, 50, 127, 128, 129, 200, 256, 300]
ROOM = {torch.float32: 2e-6, torch.bfloat16: 0.008}


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    room = ROOM[found.dtype]
    torch.testing.assert_close(found.double(), expected, rtol=room, atol=room * float(expected.abs().max()))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("outs", "width"), SHAPES)
def test_it_is_the_product_plus_bias_plus_residual(outs: int, width: int, dtype: torch.dtype) -> None:
    weight, x = torch.randn(outs, width).to(dtype), torch.randn(9, width).to(dtype)
    bias, residual = torch.randn(outs).to(dtype), torch.randn(9, outs).to(dtype)
    expected = F.linear(x.double(), weight.double())
    close(pack(weight).product(x), expected)
    close(pack(weight, bias).product(x), expected + bias.double())
    close(pack(weight, bias).product(x, residual), expected + bias.double() + residual.double())


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("outs", "width"), SHAPES)
def test_a_row_has_the_same_bits_whatever_is_beside_it(outs: int, width: int, dtype: torch.dtype) -> None:
    packed = pack(torch.randn(outs, width).to(dtype), torch.randn(outs).to(dtype))
    x, residual = torch.randn(300, width).to(dtype), torch.randn(300, outs).to(dtype)
    whole, summed = packed.product(x), packed.product(x, residual)
    for rows in COUNTS:
        for part in (slice(0, rows), slice(300 - rows, 300)):
            assert torch.equal(packed.product(x[part].clone()), whole[part])
            assert torch.equal(packed.product(x[part], residual[part]), summed[part])


def test_a_sum_runs_over_the_width_in_order() -> None:
    # 1e8 takes the ones up that come after it, and not those before: an order that a tree or lanes would not have.
    weight = torch.ones(1, 2050)
    x = torch.ones(1, 2050)
    x[0, 1024], x[0, 2049] = 1e8, -1e8
    assert pack(weight).product(x).item() == float(torch.tensor(1e8) + 1024 - 1e8)


@pytest.mark.parametrize("dtype", TYPES)
def test_rows_may_lie_apart_and_anywhere(dtype: torch.dtype) -> None:
    packed, x = pack(torch.randn(40, 24).to(dtype)), torch.randn(33, 24).to(dtype)
    whole, wide = packed.product(x), torch.randn(33, 80).to(dtype)
    for first in (0, 1, 3, 56):
        wide[:, first : first + 24] = x
        assert torch.equal(packed.product(wide[:, first : first + 24]), whole)


def test_no_rows_give_none() -> None:
    assert pack(torch.randn(8, 4)).product(torch.empty(0, 4)).shape == (0, 8)


def test_large_weights_lie_in_pages_of_their_own() -> None:
    packed = pack(torch.ones(1024, 1024))
    assert packed.address % 4096 == 0
    assert packed.product(torch.ones(1, 1024)).eq(1024).all()


def network(hidden: int, ffn: int, dtype: torch.dtype, *, has_bias: bool) -> tuple[Packed, Packed, list[torch.Tensor]]:
    shapes = [(2 * ffn, hidden), (hidden, ffn), (2 * ffn,), (hidden,)]
    tensors = [(torch.randn(shape) / 4).to(dtype) for shape in shapes]
    gate_up, down, gate_up_bias, down_bias = tensors
    if not has_bias:
        return pack(gate_up), pack(down), [gate_up, down]
    return pack(gate_up, gate_up_bias), pack(down, down_bias), tensors


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("hidden", "ffn"), [(64, 128), (40, 20), (72, 37), (512, 1024)])
def test_a_network_is_its_formula(hidden: int, ffn: int, dtype: torch.dtype) -> None:
    gate_up, down, (first, second) = network(hidden, ffn, dtype, has_bias=False)
    x = torch.randn(9, hidden).to(dtype)
    gate, up = F.linear(x.double(), first.double()).chunk(2, -1)
    close(feed_forward(x, gate_up, down, 0.0, 1.0), F.linear(F.silu(gate) * up, second.double()))


@pytest.mark.parametrize("dtype", TYPES)
def test_a_clamped_network_with_biases_is_that_of_gpt_oss(dtype: torch.dtype) -> None:
    gate_up, down, (first, second, bias, last_bias) = network(48, 36, dtype, has_bias=True)
    x = (4 * torch.randn(9, 48)).to(dtype)
    gate, up = F.linear(x.double(), first.double(), bias.double()).chunk(2, -1)
    gate, up = gate.clamp(max=1.5), up.clamp(-1.5, 1.5)
    expected = F.linear((up + 1) * gate * torch.sigmoid(1.7 * gate), second.double(), last_bias.double())
    close(feed_forward(x, gate_up, down, 1.5, 1.7), expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("limit", [0.0, 1.5])
def test_a_network_works_row_by_row(limit: float, dtype: torch.dtype) -> None:
    gate_up, down, _ = network(72, 44, dtype, has_bias=True)
    x = torch.randn(300, 72).to(dtype)
    whole = feed_forward(x, gate_up, down, limit, 1.7)
    for rows in COUNTS:
        assert torch.equal(feed_forward(x[300 - rows :].clone(), gate_up, down, limit, 1.7), whole[300 - rows :])


def test_gates_far_from_zero_stay_finite() -> None:
    gate_up, down = pack(torch.ones(2, 1)), pack(torch.ones(1, 1))
    x = torch.tensor([[-1e4], [-100.0], [-88.0], [0.0], [88.0], [1e4]])
    expected = F.silu(x.double()) * x.double()
    torch.testing.assert_close(feed_forward(x, gate_up, down, 0.0, 1.0).double(), expected, rtol=1e-6, atol=1e-30)


def test_the_widest_vectors_give_the_bits_of_the_narrowest() -> None:
    told = [sys.executable, "-m", "tests.moe_worker.kernels.product_bits"]
    bits = [
        subprocess.run(told, env=os.environ | limit, capture_output=True, text=True, check=True).stdout.splitlines()
        for limit in ({}, {"MOE_MAX_CPU_ISA": "AVX2"})
    ]
    assert len(bits[0]) == 2 * len(SHAPES) * len(COUNTS)
    assert bits[0] == bits[1]
