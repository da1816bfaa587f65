from __future__ import annotations

import pytest

from moe_api.quantity import format_bytes, parse_bytes, parse_rate, parse_seconds


@pytest.mark.parametrize(
    ("text", "expected"), [("64Gi", 64 << 30), ("80G", 80_000_000_000), ("1.5Ki", 1536), ("12", 12), ("2k", 2000)]
)
def test_quantities_are_bytes(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("10s", 10.0), ("1m30s", 90.0), ("100ms", 0.1), ("1.5h", 5400.0), ("20us", 2e-5)]
)
def test_durations_are_seconds(text: str, expected: float) -> None:
    assert parse_seconds(text) == expected


def test_rates_are_units_per_second() -> None:
    assert parse_rate("3.35T") == 3.35e12
    with pytest.raises(ValueError, match="50G or 989T"):
        parse_rate("fast")


@pytest.mark.parametrize("text", ["", "64GB", "-1Gi", "1e3", "Gi", "1 Gi", "٣Gi", "1Gi\n"])
def test_other_quantities_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write a number and a unit"):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "1d", "10s\n"])
def test_other_durations_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="10s or 1m30s"):
        parse_seconds(text)


def test_bytes_are_shown_in_the_largest_unit() -> None:
    assert format_bytes(64 << 30) == "64 GiB"
    assert format_bytes(1536) == "1.5 KiB"
    assert format_bytes(5 << 50) == "5120 TiB"
