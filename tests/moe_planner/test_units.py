from __future__ import annotations

import math

import pytest

from moe_planner.errors import PlanError
from moe_planner.units import BYTES, BYTES_PER_SECOND, FLOPS, SECONDS, SHARE, TOKENS_PER_SECOND, Kind, number, read

KINDS = [BYTES, SECONDS, SHARE, TOKENS_PER_SECOND, FLOPS, BYTES_PER_SECOND]


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        (BYTES, "64GiB", 64 * 2**30),
        (BYTES, "64Gi", 64 * 2**30),
        (BYTES, "64 GB", 64e9),
        (BYTES, "78MB per GPU", 78e6),
        (BYTES, "1,024 KiB", 2**20),
        (BYTES, 1024, 1024),
        (SECONDS, "10s", 10),
        (SECONDS, "20us", 20e-6),
        (SECONDS, "20 µs", 20e-6),
        (SECONDS, "1.5min", 90),
        (SECONDS, 0.25, 0.25),
        (SHARE, "2%", 0.02),
        (SHARE, "2% of VRAM", 0.02),
        (SHARE, 0.5, 0.5),
        (TOKENS_PER_SECOND, "100 tokens/ms", 100_000),
        (TOKENS_PER_SECOND, "100 tokens/ms per GPU", 100_000),
        (TOKENS_PER_SECOND, "120,000 tokens/s", 120_000),
        (TOKENS_PER_SECOND, "120k tok/s", 120_000),
        (FLOPS, "400TFlops", 400e12),
        (FLOPS, "400 TFLOP/s", 400e12),
        (FLOPS, "1e15 FLOP/s", 1e15),
        (BYTES_PER_SECOND, "1.8TB/s", 1.8e12),
        (BYTES_PER_SECOND, "1.8TBps", 1.8e12),
        (BYTES_PER_SECOND, "400 Gbit/s", 50e9),
        (BYTES_PER_SECOND, "400Gbps", 50e9),
    ],
)
def test_what_people_write_becomes_a_number(kind: Kind, written: object, value: float) -> None:
    assert number("field", written, kind) == value


@pytest.mark.parametrize(
    ("written", "below", "same", "above"),
    [
        ("< 10s", True, False, False),
        ("<= 10s", True, True, False),
        ("> 10s", False, False, True),
        ("≥ 10s", False, True, True),
        ("10s", True, True, False),
    ],
)
def test_a_relation_is_judged_and_a_bare_number_is_a_promise_not_to_use_more(
    written: str, below: bool, same: bool, above: bool
) -> None:
    measure = read("field", written, SECONDS)
    assert [measure.holds(9.0), measure.holds(10.0), measure.holds(11.0)] == [below, same, above]


WRONG_NUMBERS = [True, -1, math.nan, math.inf, 10**5000]
WRONG_TEXTS = ["", " ", "fast", "10 parsecs", "-1s", "nan", "inf", "1e999s", "1" * 500, "٣s", "1.2.3s", "10s 20s"]
WRONG_SIGNS = ["< ", "<<10s", "10\x00s", "s10"]


@pytest.mark.parametrize("kind", KINDS)
def test_everything_else_is_refused_with_an_example(kind: Kind) -> None:
    for written in [*WRONG_NUMBERS, *WRONG_TEXTS, *WRONG_SIGNS, None, [], {}, b"10s"]:
        with pytest.raises(PlanError) as caught:
            read("field", written, kind)
        assert caught.value.field == "field"
        assert kind.example in caught.value.remedy or "true value" in caught.value.remedy
        assert str(caught.value)


def test_absurd_sizes_are_refused() -> None:
    with pytest.raises(PlanError) as caught:
        read("hardware.gpu_memory", "9000EB", BYTES)
    assert str(caught.value) == (
        "hardware.gpu_memory = 9000EB: must be at most 1.15292e+18 bytes; write the true value"
    )


@pytest.mark.parametrize("written", [0, "0s", "< 10s"])
def test_a_number_is_more_than_zero_and_carries_no_relation(written: object) -> None:
    with pytest.raises(PlanError):
        number("field", written, SECONDS)
