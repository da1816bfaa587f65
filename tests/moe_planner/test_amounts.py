from __future__ import annotations

import pytest

from moe_planner.amounts import count, decimal, gib, parameters, seconds


def test_bytes_in_powers_of_1024() -> None:
    assert [gib(value) for value in (512, 1536, 3 << 20, 5 << 30)] == ["512 B", "1.5 KiB", "3 MiB", "5 GiB"]


def test_seconds_in_the_unit_that_reads_best() -> None:
    assert [seconds(value) for value in (2e-5, 3.54e-3, 1.5)] == ["20 us", "3.54 ms", "1.5 s"]


@pytest.mark.parametrize(
    ("value", "words"), [(950, "950 B"), (1.449e9, "1.449 GB"), (240e12, "240 TB"), (3e15, "3 PB"), (4e19, "4e+04 PB")]
)
def test_decimal_prefixes(value: float, words: str) -> None:
    assert decimal(value, "B") == words


def test_counts_have_their_plural() -> None:
    assert [count(1, "copy"), count(2, "copy"), count(2, "GPU")] == ["1 copy", "2 copies", "2 GPUs"]


def test_parameters_in_words() -> None:
    assert (parameters(30.53e9), parameters(640.9e6)) == ("30.53 billion", "640.9 million")
