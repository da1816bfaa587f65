from __future__ import annotations

import pytest

from moe_planner.limits import shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("78MB per GPU", "78MB per GPU"),
        ("", "''"),
        ("  ", "'  '"),
        ("a\nb", "'a\\nb'"),
        (7, "7"),
        (10**18, "1000000000000000000"),
        (10**18 + 1, "about 2^60"),
        (-(10**30), "about -2^100"),
        (None, "None"),
        (float("nan"), "nan"),
        ([1, 2], "[1, 2]"),
    ],
)
def test_a_value_is_shown_as_it_was_written_or_quoted(value: object, text: str) -> None:
    assert shown(value) == text


def test_whatever_it_is_it_is_short_and_one_line() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    for value in ["x" * 10_000, [10**5000], {"a": 10**5000}, deep, list(range(10_000)), {i: i for i in range(999)}]:
        assert 0 < len(shown(value)) < 200
        assert "\n" not in shown(value)
