from __future__ import annotations

from datetime import UTC, datetime

import pytest

from moe_api.moment import moment_of, parse_moment


@pytest.mark.parametrize("text", ["2026-01-31T08:00:00Z", "2026-01-31T08:00:00.000Z", "2026-01-31T10:00:00+02:00"])
def test_a_moment_has_its_zone(text: str) -> None:
    assert parse_moment(text) == datetime(2026, 1, 31, 8, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-01-31", "2026-01-31T08:00:00", "2026-13-31T08:00:00Z", "now\n"])
def test_other_words_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"write e\.g\. 2026-01-31T08:00:00Z"):
        parse_moment(text)


def test_where_nobody_is_to_blame_other_words_are_no_moment() -> None:
    assert moment_of("2026-01-31T08:00:00.250Z") == datetime(2026, 1, 31, 8, microsecond=250000, tzinfo=UTC)
    assert [moment_of(text) for text in ("", "tomorrow", "2026-01-31T08:00:00")] == [None, None, None]
