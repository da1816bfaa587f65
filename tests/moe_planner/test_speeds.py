from __future__ import annotations

from dataclasses import replace

import pytest

from moe_planner.inputs import Gpu, Link
from moe_planner.speeds import peak_flops, speeds
from tests.moe_planner.document import HARDWARE, LINK

H100 = Gpu(name="h100", flops=(("bf16", 990e12), ("fp8", 1979e12), ("tf32", 495e12)), memory_bandwidth=3.35e12)


@pytest.mark.parametrize(("bits", "expected"), [(16, 990e12), (8, 1979e12), (32, 495e12), (4, 1979e12)])
def test_numbers_are_computed_in_their_own_width_or_the_next_wider(bits: int, expected: float) -> None:
    assert peak_flops(H100, bits) == expected


def test_wider_numbers_than_the_data_sheet_knows_go_slower_by_their_width() -> None:
    assert peak_flops(Gpu(name="a", flops=(("fp16", 400e12),), memory_bandwidth=1.0), 32) == 200e12


def test_what_is_reached_is_a_share_of_the_peaks() -> None:
    reached = speeds(HARDWARE, 2)
    assert reached is not None
    assert (reached.peak_flops, reached.flops, reached.memory) == (400e12, 240e12, 1.44e12)


def test_without_a_gpu_or_any_link_there_are_no_times() -> None:
    assert speeds(replace(HARDWARE, gpu=None), 2) is None
    assert speeds(replace(HARDWARE, inside=None, between=None), 2) is None


def test_one_known_link_stands_for_both() -> None:
    inside = Link(bandwidth=900e9, latency=1e-6)
    known = speeds(replace(HARDWARE, inside=inside, between=None), 2)
    other = speeds(replace(HARDWARE, inside=None), 2)
    assert known is not None
    assert other is not None
    assert (known.between, other.inside) == (inside, LINK)
